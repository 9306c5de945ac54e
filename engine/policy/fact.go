package policy

import (
	"bytes"
	"iter"

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
		t.Append(lua.LString(line))
	}
	L.Push(t)
	return 1
}

// listLines yields the numbers and texts of the lines of a list file, without blank ones and comments.
func listLines(data []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		number := 0
		for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\ufeff"))) {
			number++
			line, _, _ = bytes.Cut(line, []byte("#"))
			if line = bytes.TrimSpace(line); len(line) > 0 && !yield(number, string(line)) {
				return
			}
		}
	}
}
