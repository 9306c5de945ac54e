package policytest

import (
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/policy"
	"moonlatch/engine/policy/sandbox/pattern"
)

// patternSteps bounds one match of a test's pattern.
const patternSteps = 1_000_000

// notified is t.notified.
func (f *File) notified(L *lua.LState) int {
	form := `t.notified("ops", "scan from 203%.0%.113%.9")`
	to, pat := f.text(L, 1, form), ""
	if L.GetTop() > 1 {
		pat = f.text(L, 2, form)
	}
	var others []string
	for _, n := range f.stage.Notices() {
		if n.To != to {
			continue
		}
		if f.matches(L, n, pat) {
			return 0
		}
		others = append(others, n.Title)
	}
	if len(others) == 0 {
		f.fail("%s is told nothing", to)
		return 0
	}
	f.fail("%s is told nothing that matches %q, but %q", to, pat, strings.Join(others[max(0, len(others)-5):], "; "))
	return 0
}

func (f *File) matches(L *lua.LState, n policy.Notice, pat string) bool {
	for _, text := range []string{n.Title, n.Text} {
		_, _, found, err := pattern.New(text, pat, patternSteps).Find(0)
		if err != nil {
			f.mistake(L, "t.notified: %q: %v", pat, err)
		}
		if found {
			return true
		}
	}
	return false
}
