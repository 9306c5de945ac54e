package generation

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Problem is why a boot did not restore a confirmed generation.
type Problem struct {
	Generation uint64 `json:"generation,omitempty"` // 0 where it is not even known which one was confirmed last
	Why        string `json:"why"`
}

func (s *store) problemsPath() string { return filepath.Join(s.dir, "problems") }

// setProblems writes down what a boot has met with, for those who ask later.
func (s *store) setProblems(p []Problem) error {
	if len(p) == 0 {
		if err := os.Remove(s.problemsPath()); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	b, err := seal(p)
	if err != nil {
		return err
	}
	if err := writeSync(s.problemsPath()+".new", b); err != nil {
		return err
	}
	return os.Rename(s.problemsPath()+".new", s.problemsPath())
}

// problems reads them. Where they cannot be read there are none to tell.
func (s *store) problems() []Problem {
	var p []Problem
	if readSealed(s.problemsPath(), &p) != nil {
		return nil
	}
	return p
}
