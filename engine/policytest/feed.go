package policytest

import (
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// feed is t.feed.
func (f *File) feed(L *lua.LState) int {
	const form = `t.feed("drop", { "198.51.100.0/24" })`
	name := f.text(L, 1, form)
	var names []string
	for _, s := range f.stage.Policy().Feeds() {
		names = append(names, s.Name)
	}
	if !slices.Contains(names, name) {
		f.mistake(L, "%s has no feed %q%s", f.policy, name, ruleset.Suggest(name, names))
	}
	list, ok := L.Get(2).(*lua.LTable)
	if !ok {
		f.mistake(L, "%s is expected, and argument 2 is %s", form, describe(L.Get(2)))
	}
	var entries strings.Builder
	for i := 1; i <= list.Len(); i++ {
		entry, ok := list.RawGetInt(i).(lua.LString)
		if !ok {
			f.mistake(L, "%s is expected, and item %d is %s", form, i, describe(list.RawGetInt(i)))
		}
		entries.WriteString(string(entry) + "\n")
	}
	f.empty[name] = false
	if err := f.stage.Feed(name, []byte(entries.String())); err != nil {
		L.RaiseError("%v", err)
	}
	return 0
}
