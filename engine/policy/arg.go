package policy

import (
	lua "github.com/yuin/gopher-lua"
)

// The functions here read arguments of functions and raise a Lua error, with
// the form that was expected, where an argument is something else.

func stringArg(L *lua.LState, n int, form string) string {
	s, ok := L.Get(n).(lua.LString)
	if !ok {
		if reason := refusedModule(L.Get(n), form); reason != "" {
			L.RaiseError("%s", reason)
		}
		L.RaiseError("%s is expected, not %s", form, got(L, n))
	}
	return string(s)
}

func functionArg(L *lua.LState, n int, form string) *lua.LFunction {
	f, ok := L.Get(n).(*lua.LFunction)
	if !ok {
		L.RaiseError("%s is expected, and argument %d is %s", form, n, got(L, n))
	}
	if err := notOurs(f, form); err != nil {
		L.RaiseError("%v", err)
	}
	return f
}

// got says what an argument is; nil is most likely a misspelt name.
func got(L *lua.LState, n int) string {
	switch {
	case n > L.GetTop():
		return "nothing"
	case L.Get(n) == lua.LNil:
		return "nil: a misspelt name?"
	}
	return describe(L.Get(n))
}

// noMore refuses arguments behind the first n.
func noMore(L *lua.LState, n int, form string) {
	if L.GetTop() > n {
		L.RaiseError("%s is expected: argument %d is one too many", form, n+1)
	}
}
