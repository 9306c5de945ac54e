package sandbox

import (
	"errors"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/policy/sandbox/pattern"
)

func (s *State) searchFunctions() functions {
	return functions{
		"find":   func(L *lua.LState) int { return s.stringFind(L, true) },
		"match":  func(L *lua.LState) int { return s.stringFind(L, false) },
		"gmatch": s.stringGmatch,
		"gsub":   s.stringGsub,
	}
}

// search finds the next match at the policy's expense: a step of the matcher
// costs an instruction.
func (s *State) search(m *pattern.Matcher, from int) (start, end int, found bool) {
	allowed := int(max(s.meter.left, 0))
	m.Steps = allowed
	start, end, found, err := m.Find(from)
	s.charge(allowed - m.Steps)
	if err != nil && !errors.Is(err, pattern.ErrSteps) {
		s.current.RaiseError("%s", err.Error())
	}
	return start, end, found
}

// stringFind is string.find, or string.match when positions are not wanted.
func (s *State) stringFind(L *lua.LState, positions bool) int {
	text, pat := L.CheckString(1), L.CheckString(2)
	from := optInt(L, 3, 1)
	if from < 0 {
		from += len(text) + 1
	}
	from = min(max(from-1, 0), len(text))
	if positions && (lua.LVAsBool(L.Get(4)) || !strings.ContainsAny(pat, "^$*+?.([%-")) {
		return s.findPlain(L, text, pat, from)
	}
	m := pattern.New(text, pat, 0)
	start, end, found := s.search(m, from)
	if !found {
		L.Push(lua.LNil)
		return 1
	}
	if positions {
		L.Push(lua.LNumber(start + 1))
		L.Push(lua.LNumber(end))
		return 2 + pushCaptures(L, m.Captures(), text)
	}
	return pushMatch(L, m.Captures(), text, start, end)
}

func (s *State) findPlain(L *lua.LState, text, word string, from int) int {
	s.charge((len(text) - from + len(word)) / 16)
	i := strings.Index(text[from:], word)
	if i < 0 {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LNumber(from + i + 1))
	L.Push(lua.LNumber(from + i + len(word)))
	return 2
}

func captured(c pattern.Capture, text string) lua.LValue {
	if c.Position {
		return lua.LNumber(c.Start + 1)
	}
	return lua.LString(text[c.Start:c.End])
}

func pushCaptures(L *lua.LState, captures []pattern.Capture, text string) int {
	for _, c := range captures {
		L.Push(captured(c, text))
	}
	return len(captures)
}

// pushMatch pushes the captures, or the whole match where there are none.
func pushMatch(L *lua.LState, captures []pattern.Capture, text string, start, end int) int {
	if len(captures) > 0 {
		return pushCaptures(L, captures, text)
	}
	L.Push(lua.LString(text[start:end]))
	return 1
}

func (s *State) stringGmatch(L *lua.LState) int {
	text := L.CheckString(1)
	m := pattern.New(text, L.CheckString(2), 0)
	next, done := 0, false
	L.Push(L.NewFunction(func(L *lua.LState) int {
		if done || next > len(text) {
			return 0
		}
		start, end, found := s.search(m, next)
		done = !found || m.Anchored()
		if !found {
			return 0
		}
		if next = end; start == end {
			next++
		}
		return pushMatch(L, m.Captures(), text, start, end)
	}))
	return 1
}

func (s *State) stringGsub(L *lua.LState) int {
	text := L.CheckString(1)
	m := pattern.New(text, L.CheckString(2), 0)
	replace := s.replacer(L, text, L.Get(3))
	limit := optInt(L, 4, len(text)+1)

	var out strings.Builder
	from, count := 0, 0
	for count < limit && from <= len(text) {
		start, end, found := s.search(m, from)
		if !found {
			break
		}
		count++
		with := replace(m.Captures(), start, end)
		s.checkLength(out.Len() + start - from + len(with))
		s.charge(len(with) / 64)
		out.WriteString(text[from:start])
		out.WriteString(with)
		if from = end; start == end {
			if end < len(text) {
				out.WriteByte(text[end])
			}
			from++
		}
		if m.Anchored() {
			break
		}
	}
	out.WriteString(text[min(from, len(text)):])
	s.chargeBytes(out.Len())
	L.Push(lua.LString(out.String()))
	L.Push(lua.LNumber(count))
	return 2
}
