package policy

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// factInterfaces is fw.fact.interfaces.
func (l *loader) factInterfaces(L *lua.LState) int {
	t := L.NewTable()
	if l.env.Interfaces != nil {
		for _, name := range l.env.Interfaces() {
			t.Append(lua.LString(name))
		}
	}
	L.Push(t)
	return 1
}

// factAddresses is fw.fact.addresses.
func (l *loader) factAddresses(L *lua.LState) int {
	t := L.NewTable()
	if l.env.Addresses != nil {
		for _, a := range l.env.Addresses() {
			t.Append(lua.LString(a.Unmap().WithZone("").String()))
		}
	}
	L.Push(t)
	return 1
}

// lines is fw.lines.
func (l *loader) lines(L *lua.LState) int {
	name := stringArg(L, 1, `fw.lines("file")`)
	data, err := l.state.ReadFile(name)
	if err != nil {
		L.RaiseError("fw.lines: %v", err)
	}
	t := L.NewTable()
	for _, line := range listLines(data) {
		t.Append(lua.LString(line.text))
	}
	L.Push(t)
	return 1
}

type listLine struct {
	number int
	text   string
}

// listLines gives the lines of a list file, without blank ones and comments.
func listLines(data []byte) []listLine {
	var out []listLine
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		number++
		text, _, _ := strings.Cut(line, "#")
		if text = strings.TrimSpace(text); text != "" {
			out = append(out, listLine{number, text})
		}
	}
	return out
}
