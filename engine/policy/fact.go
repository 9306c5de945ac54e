package policy

import (
	"bytes"
	"iter"
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
		t.Append(lua.LString(line))
	}
	L.Push(t)
	return 1
}

// listLines yields the numbers and texts of the lines of a list file, without blank ones and comments. It makes
// strings of many lines at once: of a million lines, each its own string, a third of the time goes into making them.
func listLines(data []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		number := 0
		for data = bytes.TrimPrefix(data, []byte("\ufeff")); len(data) > 0; {
			n := wholeLines(data, 1<<16)
			for line := range strings.Lines(string(data[:n])) {
				number++
				line, _, _ = strings.Cut(line, "#")
				if line = strings.TrimSpace(line); line != "" && !yield(number, line) {
					return
				}
			}
			data = data[n:]
		}
	}
}

// wholeLines returns the length of the whole lines at the start of data that have some n bytes, or of the first one.
func wholeLines(data []byte, n int) int {
	if len(data) <= n {
		return len(data)
	}
	if i := bytes.LastIndexByte(data[:n], '\n'); i >= 0 {
		return i + 1
	}
	if i := bytes.IndexByte(data[n:], '\n'); i >= 0 {
		return n + i + 1
	}
	return len(data)
}
