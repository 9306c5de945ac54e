package sandbox

import lua "github.com/yuin/gopher-lua"

// openLibraries opens what a policy may use.
func (s *State) openLibraries() {
	for _, open := range []lua.LGFunction{lua.OpenBase, lua.OpenTable, lua.OpenString, lua.OpenMath} {
		s.lua.Push(s.lua.NewFunction(open))
		s.lua.Call(0, 0)
	}
	s.lua.SetGlobal("require", s.lua.NewFunction(s.require))
}
