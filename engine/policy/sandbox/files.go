package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
)

const maxFiles = 128 << 20 // bytes of all files of a policy together

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
	data, err := readRegular(s.cfg.Files, name, maxFiles-s.read)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &noFile{name, suggest(name, s.beside(name))}
	}
	if err != nil {
		return nil, err
	}
	s.files[name] = data
	s.read += len(data)
	return data, nil
}

// noFile is a file that is not there.
type noFile struct{ name, hint string }

func (e *noFile) Error() string {
	return fmt.Sprintf("there is no file %s in the policy's folder%s", e.name, e.hint)
}
func (e *noFile) Is(target error) bool { return target == fs.ErrNotExist }

// beside are the files in the folder of one, as far as they can be told.
func (s *State) beside(name string) (names []string) {
	entries, _ := fs.ReadDir(s.cfg.Files, path.Dir(name)) // no folder, no suggestions from it
	for _, e := range entries {
		names = append(names, path.Join(path.Dir(name), e.Name()))
	}
	return names
}

// readRegular refuses what is not a regular file before opening it, because
// opening a named pipe waits for a writer.
func readRegular(files fs.FS, name string, limit int) ([]byte, error) {
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
	var data bytes.Buffer
	data.Grow(int(min(info.Size(), int64(limit))) + bytes.MinRead) // a large file is not copied as it grows
	if _, err := data.ReadFrom(io.LimitReader(f, int64(limit)+1)); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if data.Len() > limit {
		return nil, fmt.Errorf("read %s: the files of a policy are larger than %d MiB together", name, maxFiles>>20)
	}
	return data.Bytes(), nil
}

// Files returns everything that was read so far, by name: sources and data. A
// sandbox over exactly these files runs the very same policy.
func (s *State) Files() map[string][]byte { return maps.Clone(s.files) }
