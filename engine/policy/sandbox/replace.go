package sandbox

import (
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/policy/sandbox/pattern"
)

// replacement is what string.gsub puts in the place of one match.
type replacement func(captures []pattern.Capture, start, end int) string

// replacer is the replacement that the third argument of string.gsub asks for.
func (s *State) replacer(L *lua.LState, text string, with lua.LValue) replacement {
	switch with := with.(type) {
	case lua.LString, lua.LNumber:
		template := with.String()
		return func(captures []pattern.Capture, start, end int) string {
			return s.expand(L, template, captures, text, start, end)
		}
	case *lua.LTable:
		return func(captures []pattern.Capture, start, end int) string {
			key := captured(whole(captures, start, end)[0], text)
			return replaced(L, L.GetTable(with, key), text[start:end])
		}
	case *lua.LFunction:
		return func(captures []pattern.Capture, start, end int) string {
			L.Push(with)
			n := pushCaptures(L, whole(captures, start, end), text)
			L.Call(n, 1)
			v := L.Get(-1)
			L.Pop(1)
			return replaced(L, v, text[start:end])
		}
	}
	L.ArgError(3, "string, table or function expected, got "+with.Type().String())
	return nil
}

// whole is the captures, or the whole match where there are none.
func whole(captures []pattern.Capture, start, end int) []pattern.Capture {
	if len(captures) == 0 {
		return []pattern.Capture{{Start: start, End: end}}
	}
	return captures
}

// replaced is the text of a value; nil and false keep the match.
func replaced(L *lua.LState, v lua.LValue, match string) string {
	switch {
	case lua.LVIsFalse(v):
		return match
	case !lua.LVCanConvToString(v):
		L.RaiseError("invalid replacement value (a %s)", v.Type())
	}
	return v.String()
}

// expand fills %0 to %9 in. Any other character after % stands for itself.
func (s *State) expand(L *lua.LState, template string, captures []pattern.Capture, text string, start, end int) string {
	if !strings.Contains(template, "%") {
		return template
	}
	var b strings.Builder
	for i := 0; i < len(template); i++ {
		c := template[i]
		if c != '%' {
			b.WriteByte(c)
			continue
		}
		if i++; i == len(template) {
			L.RaiseError("%s", "the replacement ends with '%'")
		}
		c = template[i]
		switch n := int(c) - '0'; {
		case c == '0':
			b.WriteString(text[start:end])
		case n < 0 || n > 9:
			b.WriteByte(c)
		case n > len(whole(captures, start, end)):
			L.RaiseError("invalid capture index %%%d in the replacement", n)
		default:
			b.WriteString(captured(whole(captures, start, end)[n-1], text).String())
		}
		s.checkLength(b.Len())
	}
	return b.String()
}
