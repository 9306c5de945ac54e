package sandbox

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

func (s *State) stringFunctions() functions {
	return functions{
		"byte":    s.stringByte,
		"char":    s.stringChar,
		"format":  s.stringFormat,
		"len":     stringLen,
		"lower":   s.stringLower,
		"rep":     s.stringRep,
		"reverse": s.stringReverse,
		"sub":     stringSub,
		"upper":   s.stringUpper,
	}
}

// span turns Lua's inclusive positions, negative from the end, into a slice of
// a string of n bytes.
func span(from, to, n int) (int, int) {
	if from < 0 {
		from = max(from+n+1, 1)
	}
	if to < 0 {
		to += n + 1
	}
	from, to = max(from, 1), min(to, n)
	if from > to {
		return 0, 0
	}
	return from - 1, to
}

func (s *State) stringByte(L *lua.LState) int {
	text := L.CheckString(1)
	first := optInt(L, 2, 1)
	from, to := span(first, optInt(L, 3, first), len(text))
	if to-from > maxUnpack {
		L.RaiseError("string slice too long (at most %d bytes)", maxUnpack)
	}
	for _, c := range []byte(text[from:to]) {
		L.Push(lua.LNumber(c))
	}
	return to - from
}

func (s *State) stringChar(L *lua.LState) int {
	text := make([]byte, L.GetTop())
	for i := range text {
		n := checkInt(L, i+1)
		if n < 0 || n > 255 {
			L.ArgError(i+1, "not a byte")
		}
		text[i] = byte(n)
	}
	L.Push(lua.LString(text))
	return 1
}

func stringLen(L *lua.LState) int {
	L.Push(lua.LNumber(len(L.CheckString(1))))
	return 1
}

func stringSub(L *lua.LState) int {
	text := L.CheckString(1)
	from, to := span(checkInt(L, 2), optInt(L, 3, -1), len(text))
	L.Push(lua.LString(text[from:to]))
	return 1
}

func (s *State) stringRep(L *lua.LState) int {
	text, n := L.CheckString(1), max(checkInt(L, 2), 0)
	if len(text) > 0 && n > maxString/len(text) {
		s.chargeBytes(maxString + 1)
	}
	s.chargeBytes(len(text) * n)
	if len(text) == 0 {
		n = 0 // strings.Repeat loops over any number of nothings
	}
	L.Push(lua.LString(strings.Repeat(text, n)))
	return 1
}

func (s *State) stringLower(L *lua.LState) int {
	return s.mapBytes(L, func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		return c
	})
}

func (s *State) stringUpper(L *lua.LState) int {
	return s.mapBytes(L, func(c byte) byte {
		if 'a' <= c && c <= 'z' {
			c &^= 0x20
		}
		return c
	})
}

// mapBytes maps bytes and not runes, because texts come from packets.
func (s *State) mapBytes(L *lua.LState, f func(byte) byte) int {
	text := []byte(L.CheckString(1))
	s.chargeBytes(len(text))
	for i, c := range text {
		text[i] = f(c)
	}
	L.Push(lua.LString(text))
	return 1
}

func (s *State) stringReverse(L *lua.LState) int {
	text := []byte(L.CheckString(1))
	s.chargeBytes(len(text))
	for i, j := 0, len(text)-1; i < j; i, j = i+1, j-1 {
		text[i], text[j] = text[j], text[i]
	}
	L.Push(lua.LString(text))
	return 1
}
