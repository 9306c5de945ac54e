package generation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// The store knows which generations were confirmed from two places. The file
// "confirmed" names the newest, and is replaced by one rename. A copy of it stays in
// the folder of each: where damage keeps the newest from being restored, the one
// confirmed before it still can be. Generations are confirmed in the order of their
// numbers.

// confirmation is the content of either file.
type confirmation struct {
	Number uint64 `json:"generation"`
	SHA256 string `json:"sha256"` // of its record.json
}

// keptConfirmed is how many confirmed generations stay on disk, however many came since.
const keptConfirmed = 3

func (s *store) confirmedPath() string { return filepath.Join(s.dir, "confirmed") }

func (s *store) markPath(n uint64) string { return filepath.Join(s.generation(n), "confirmed") }

// confirmed returns which generation was confirmed last, or ErrNoStore where none ever was.
func (s *store) confirmed() (confirmation, error) {
	var c confirmation
	err := readSealed(s.confirmedPath(), &c)
	if !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	marked, markErr := s.marked()
	switch {
	case markErr != nil:
		return c, errors.Join(err, markErr)
	case len(marked) == 0:
		return c, ErrNoStore
	}
	return c, fmt.Errorf("%w: %w", ErrDamaged, err)
}

// marked lists the generations that were ever confirmed and are still stored, the newest first.
func (s *store) marked() ([]uint64, error) {
	all, err := s.numbers()
	if err != nil {
		return nil, err
	}
	marked := slices.DeleteFunc(all, func(n uint64) bool {
		_, err := os.Lstat(s.markPath(n))
		return err != nil
	})
	slices.Reverse(marked)
	return marked, nil
}

// newestConfirmed is the highest number that is known as confirmed, or 0.
func (s *store) newestConfirmed() (uint64, error) {
	marked, err := s.marked()
	if err != nil {
		return 0, err
	}
	newest := uint64(0)
	if len(marked) > 0 {
		newest = marked[0]
	}
	if c, err := s.confirmed(); err == nil {
		newest = max(newest, c.Number)
	}
	return newest, nil
}

// marks reports whether a generation's own copy is there and says what c says.
func (s *store) marks(c confirmation) bool {
	var own confirmation
	return readSealed(s.markPath(c.Number), &own) == nil && own == c
}

// prepare writes both files beside those in use, so that a full disk is found
// before the kernel is changed.
func (s *store) prepare(c confirmation) error {
	b, err := seal(c)
	if err != nil {
		return err
	}
	return errors.Join(writeSync(s.confirmedPath()+".new", b), writeSync(s.markPath(c.Number)+".new", b))
}

// commit makes the prepared confirmation of a generation the one in use.
func (s *store) commit(n uint64) error {
	if err := os.Rename(s.confirmedPath()+".new", s.confirmedPath()); err != nil {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	// It is confirmed. Without its own copy it is so as long as the one above is
	// undamaged, and the next process that looks writes it.
	if os.Rename(s.markPath(n)+".new", s.markPath(n)) == nil {
		_ = syncDir(s.generation(n))
	}
	return nil
}
