package blocklist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"moonlatch/engine/ruleset"
)

// A Store keeps the last good copy of each list, and its State, in a directory. Its methods may be
// called by several processes; only one may keep a list.
type Store struct{ dir string }

// NewStore returns the store in a directory, which is made when something is to be kept. "" is that of somebody
// who keeps none.
func NewStore(dir string) *Store { return &Store{dir} }

func (s *Store) path(name, suffix string) string { return filepath.Join(s.dir, name+suffix) }

// Load returns the last good copy of a list, empty where there is none. It is parsed as strictly as when it came.
func (s *Store) Load(spec Spec) (List, error) {
	content, err := os.ReadFile(s.path(spec.Name, ".list"))
	if errors.Is(err, fs.ErrNotExist) {
		return Parse(spec.Format, nil, spec.Max)
	}
	if err == nil {
		var l List
		if l, err = Parse(spec.Format, content, spec.Max); err == nil {
			return l, nil
		}
	}
	return List{}, fmt.Errorf("the copy of the list %s: %w", spec.Name, err)
}

// ErrNoCopy is the error of AtHand for a list that was never fetched.
var ErrNoCopy = errors.New("it was never fetched")

// AtHand returns a list without asking for it: the last good copy that came from where spec says, or else
// the file that spec names, as it is now.
func (s *Store) AtHand(spec Spec) (List, error) {
	content, err := s.kept(spec)
	if err != nil && spec.File != "" {
		content, err = spec.Read()
	}
	if err != nil {
		return List{}, err
	}
	return Parse(spec.Format, content, spec.Max)
}

// Last returns the last good copy that came from where spec says, empty where there is none.
func (s *Store) Last(spec Spec) List {
	content, _ := s.kept(spec)
	if l, err := Parse(spec.Format, content, spec.Max); err == nil {
		return l
	}
	return List{Addrs: &ruleset.Addresses{}}
}

func (s *Store) kept(spec Spec) ([]byte, error) {
	if s.dir == "" {
		return nil, ErrNoCopy
	}
	content, err := os.ReadFile(s.path(spec.Name, ".list"))
	if err == nil && s.State(spec.Name).Source != spec.source() || errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoCopy
	}
	return content, err
}

// holds reports whether the copy of a list is this one.
func (s *Store) holds(name string, content []byte) bool {
	copied, err := os.ReadFile(s.path(name, ".list"))
	return err == nil && bytes.Equal(copied, content)
}

// save keeps a good copy.
func (s *Store) save(name string, content []byte) error {
	return s.write(s.path(name, ".list"), content)
}

// State returns what is known of a list.
func (s *Store) State(name string) State {
	var out State
	if b, err := os.ReadFile(s.path(name, ".json")); err == nil && json.Unmarshal(b, &out) != nil {
		out = State{} // it is written anew soon
	}
	out.Name = name
	return out
}

func (s *Store) setState(st State) error {
	b, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	return s.write(s.path(st.Name, ".json"), b)
}

// States returns what is known of every list.
func (s *Store) States() ([]State, error) {
	files, err := filepath.Glob(s.path("*", ".json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var out []State
	for _, f := range files {
		out = append(out, s.State(strings.TrimSuffix(filepath.Base(f), ".json")))
	}
	return out, nil
}

// write replaces a file, whole or not at all.
func (s *Store) write(path string, content []byte) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
