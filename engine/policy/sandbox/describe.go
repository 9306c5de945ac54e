package sandbox

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

const (
	maxDescribed = 200 // bytes of a described value
	maxLevels    = 3   // levels of tables in it
)

// describe is a value as one line of text, for errors: strings in quotes, tables
// with what is in them.
func describe(v lua.LValue) string {
	var b strings.Builder
	describeTo(&b, v, maxLevels)
	if b.Len() > maxDescribed {
		return b.String()[:maxDescribed] + "..."
	}
	return b.String()
}

func describeTo(b *strings.Builder, v lua.LValue, levels int) {
	switch v := v.(type) {
	case lua.LString:
		fmt.Fprintf(b, "%q", string(v)[:min(len(v), maxDescribed)])
	case *lua.LTable:
		describeTable(b, v, levels-1)
	case *lua.LFunction, *lua.LUserData:
		b.WriteString(v.Type().String()) // an address helps nobody
	default:
		b.WriteString(v.String())
	}
}

func describeTable(b *strings.Builder, t *lua.LTable, levels int) {
	b.WriteByte('{')
	items := 0
	for k, v := t.Next(lua.LNil); k != lua.LNil && b.Len() <= maxDescribed; k, v = t.Next(k) {
		if items++; items > 1 {
			b.WriteString(", ")
		}
		if levels < 1 {
			b.WriteString("...")
			break
		}
		if name, ok := k.(lua.LString); ok {
			b.WriteString(string(name) + " = ")
		} else if k != lua.LNumber(items) {
			b.WriteString("[" + k.String() + "] = ")
		}
		describeTo(b, v, levels)
	}
	b.WriteByte('}')
}

// message is the text of an error value, which Lua lets be anything.
func message(v lua.LValue) string {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case *lua.LTable:
		// The two fields that error tables usually have come first.
		for _, field := range []string{"message", "msg"} {
			if text, ok := v.RawGetString(field).(lua.LString); ok {
				return string(text) + " " + describe(v)
			}
		}
	}
	return describe(v)
}
