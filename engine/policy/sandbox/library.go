package sandbox

import (
	"math"

	lua "github.com/yuin/gopher-lua"
)

// functions are the functions of a library, by name.
type functions map[string]lua.LGFunction

// openLibraries makes the globals of a policy. What is not named here is not
// there. The originals of gopher-lua are kept where they are safe.
func (s *State) openLibraries() {
	L := s.lua
	for _, open := range []lua.LGFunction{lua.OpenBase, lua.OpenTable, lua.OpenString, lua.OpenMath} {
		L.Push(L.NewFunction(open))
		L.Call(0, 0)
	}
	original := L.G.Global
	globals := L.NewTable()
	L.G.Global, L.Env = globals, globals

	keep(globals, original, "assert", "ipairs", "rawequal", "select",
		"tonumber", "tostring", "type", "_VERSION")
	s.add(globals, s.baseFunctions())
	s.add(globals, s.operators())

	str := L.NewTable()
	s.add(str, s.stringFunctions())
	s.add(str, s.searchFunctions())
	globals.RawSetString("string", s.Seal("string", str))
	s.lockStrings(str)

	tab := L.NewTable()
	s.add(tab, s.tableFunctions())
	globals.RawSetString("table", s.Seal("table", tab))

	mth := L.NewTable()
	keep(mth, original.RawGetString("math").(*lua.LTable), "abs", "acos", "asin", "atan", "atan2",
		"ceil", "cos", "cosh", "deg", "exp", "floor", "fmod", "frexp", "ldexp", "log", "log10",
		"max", "min", "modf", "pi", "pow", "rad", "sin", "sinh", "sqrt", "tan", "tanh")
	mth.RawSetString("huge", lua.LNumber(math.Inf(1)))
	s.add(mth, s.mathFunctions())
	globals.RawSetString("math", s.Seal("math", mth))

	globals.RawSetString("_G", s.Seal("", globals))
}

func keep(to, from *lua.LTable, names ...string) {
	for _, name := range names {
		to.RawSetString(name, from.RawGetString(name))
	}
}

func (s *State) add(to *lua.LTable, fns functions) {
	for name, fn := range fns {
		to.RawSetString(name, s.lua.NewFunction(fn))
	}
}

// lockStrings makes s:name() find the string library and nothing else: getmetatable
// and setmetatable keep the metatable that all strings share out of reach.
func (s *State) lockStrings(str *lua.LTable) {
	meta := s.lua.NewTable()
	meta.RawSetString("__index", str)
	s.lua.SetMetatable(lua.LString(""), meta)
}
