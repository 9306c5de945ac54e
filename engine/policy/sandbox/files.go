package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

const maxFile = 64 << 20 // bytes of a data file

// ReadFile reads a file of the policy's folder. The name is slash-separated and
// relative to the folder. Each file is read once: later reads return the same
// bytes, which must not be changed.
func (s *State) ReadFile(name string) ([]byte, error) {
	if data, ok := s.files[name]; ok {
		return data, nil
	}
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("%q is not a name inside the policy's folder", name)
	}
	if s.cfg.Files == nil {
		return nil, fmt.Errorf("read %s: %w", name, fs.ErrNotExist)
	}
	data, err := readRegular(s.cfg.Files, name)
	if err != nil {
		return nil, err
	}
	s.files[name] = data
	return data, nil
}

// readRegular refuses what is not a regular file before opening it, because
// opening a named pipe waits for a writer.
func readRegular(files fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(files, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, maxFile>>20)
	}
	return data, nil
}

// Files returns everything that was read so far, by name: sources and data. A
// sandbox over exactly these files runs the very same policy.
func (s *State) Files() map[string][]byte { return maps.Clone(s.files) }

// Provide makes require(name) return module.
func (s *State) Provide(name string, module lua.LValue) { s.provided[name] = module }

// require returns a provided module, or runs NAME.lua of the policy's folder once.
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
	file := strings.ReplaceAll(name, ".", "/") + ".lua"
	src, err := s.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		L.RaiseError("no module %q: there is no file %s in the policy's folder", name, file)
	} else if err != nil {
		L.RaiseError("module %q: %v", name, err)
	}
	fn, err := s.Load(file, src)
	if err != nil {
		L.Error(lua.LString(err.Error()), 0)
	}
	s.loading = append(s.loading, name)
	defer func() { s.loading = s.loading[:len(s.loading)-1] }()
	L.Push(fn)
	L.Call(0, 1)
	s.modules[name] = L.Get(-1)
	if s.modules[name] == lua.LNil {
		s.modules[name] = lua.LTrue
	}
	L.Push(s.modules[name])
	return 1
}
