package sandbox

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// Provide makes require(name) return module. A provided module goes before a
// file of the same name.
func (s *State) Provide(name string, module lua.LValue) { s.provided[name] = module }

// moduleName is the name by which a file can be required.
func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(file, ".lua"), "/", ".")
}

// require returns a provided module, or what the file of a module returned when
// it ran, once.
func (s *State) require(L *lua.LState) int {
	name := L.CheckString(1)
	for _, known := range []map[string]lua.LValue{s.provided, s.modules} {
		if m, ok := known[name]; ok {
			L.Push(m)
			return 1
		}
	}
	if slices.Contains(s.loading, name) {
		L.RaiseError("cyclic require: %s", strings.Join(append(s.loading, name), " -> "))
	}
	if len(s.loading) == 0 {
		L.RaiseError("module %q must be required while the policy loads: what was not read then is not part of it", name)
	}
	L.Push(s.loadModule(L, name))
	s.loading = append(s.loading, name)
	defer func() { s.loading = s.loading[:len(s.loading)-1] }()
	L.Call(0, 1)
	if L.Get(-1) == lua.LNil {
		L.Pop(1)
		L.Push(lua.LTrue)
	}
	s.modules[name] = L.Get(-1)
	return 1
}

func (s *State) loadModule(L *lua.LState, name string) *lua.LFunction {
	file := strings.ReplaceAll(name, ".", "/") + ".lua"
	if strings.Contains(name, "/") || slices.Contains(strings.Split(name, "."), "") || !fs.ValidPath(file) || len(name) > 200 {
		L.RaiseError("bad module name %q: it is NAME for the file NAME.lua of the policy's folder, with dots between folders", name)
	}
	src, err := s.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		L.RaiseError("no module %q: there is no file %s in the policy's folder%s", name, file, suggest(name, s.known(file)))
	case err != nil:
		L.RaiseError("module %q: %v", name, err)
	}
	fn, err := s.Load(file, src)
	if err != nil {
		errors.As(err, &s.raised)
		L.Error(lua.LString(err.Error()), 0)
	}
	return fn
}

// known are the modules that are provided, or lie in the folder of a file.
func (s *State) known(file string) []string {
	var names []string
	for name := range s.provided {
		names = append(names, name)
	}
	if s.cfg.Files == nil {
		return names
	}
	entries, err := fs.ReadDir(s.cfg.Files, path.Dir(file))
	if err != nil {
		return names // no folder, no suggestions from it
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".lua") {
			names = append(names, moduleName(path.Join(path.Dir(file), e.Name())))
		}
	}
	return names
}
