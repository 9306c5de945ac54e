package generation

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"moonlatch/engine/boottime"
	"moonlatch/engine/ruleset"
)

// The store on disk:
//
//	lock                          held while a process changes the firewall
//	confirmed                     which generation the next boot restores
//	intent                        what the kernel is meant to hold
//	problems                      what kept the last boot from restoring that one
//	generations/N/record.json     the Generation, and the checksums of what follows
//	generations/N/confirmed       a copy of the other one, in those ever confirmed
//	generations/N/ruleset.nft     its tables, with an empty lease
//	generations/N/sets/FAMILY/…   the content of its large sets, one prefix a line
//	generations/N/files/…         every file the policy read, to run it again
//
// A generation's folder appears by one rename when it is complete, and
// "confirmed" is replaced by one rename, so a crash leaves either the old or the new.
// Every file that is trusted bears a checksum, or another one bears it.
type store struct {
	dir string
	// void is when an intent was written that no longer holds and could not be taken away; nil where there is none.
	void atomic.Pointer[boottime.Instant]
}

// kept is how many generations stay on disk besides those in use.
const kept = 8

// record is a generation as it is stored.
type record struct {
	Generation
	SHA256 string            `json:"sha256"`         // of ruleset.nft
	Sets   map[string]string `json:"sets,omitempty"` // the checksum of each file in sets
	Files  map[string]string `json:"files"`          // and of each in files
	sum    string            // of record.json
	text   string
	fills  []ruleset.Fill
	files  map[string][]byte
}

func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "generations"), 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return &store{dir: dir}, nil
}

func (s *store) generation(n uint64) string {
	return filepath.Join(s.dir, "generations", strconv.FormatUint(n, 10))
}

// numbers lists the stored generations in ascending order.
func (s *store) numbers() ([]uint64, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "generations"))
	if err != nil {
		return nil, fmt.Errorf("list stored generations: %w", err)
	}
	var out []uint64
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name(), 10, 64); err == nil {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// saving begins to store a generation, which for large sets takes some time in which
// the kernel can be at work, and returns a function that waits for the end of it.
func (s *store) saving(r record) (saved func() error) {
	done := make(chan error, 1)
	go func() { done <- s.save(r) }()
	return sync.OnceValue(func() error {
		if err := <-done; err != nil {
			return fmt.Errorf("%w; nothing was changed", err)
		}
		return nil
	})
}

// save stores a generation, whole or not at all.
func (s *store) save(r record) error {
	tmp, err := os.MkdirTemp(filepath.Join(s.dir, "generations"), newPrefix)
	if err != nil {
		return fmt.Errorf("store generation %d: %w", r.Number, err)
	}
	defer os.RemoveAll(tmp)
	all := map[string][]byte{"ruleset.nft": []byte(r.text)}
	r.SHA256, r.Sets, r.Files = checksum(all["ruleset.nft"]), map[string]string{}, map[string]string{}
	for _, f := range r.fills {
		sum := sha256.New()
		err := createSync(filepath.Join(tmp, setFile(f)), func(w io.Writer) error { return writeFill(io.MultiWriter(w, sum), f) })
		if err != nil {
			return fmt.Errorf("store generation %d: %w", r.Number, err)
		}
		r.Sets[setFile(f)] = hex.EncodeToString(sum.Sum(nil))
	}
	for name, content := range r.files {
		if !fs.ValidPath(name) {
			return fmt.Errorf("store generation %d: %q is no path below the policy's folder", r.Number, name)
		}
		all[filepath.Join("files", name)] = content
		r.Files[name] = checksum(content)
	}
	if all["record.json"], err = seal(r); err != nil {
		return fmt.Errorf("store generation %d: %w", r.Number, err)
	}
	for name, content := range all {
		if err := writeSync(filepath.Join(tmp, name), content); err != nil {
			return fmt.Errorf("store generation %d: %w", r.Number, err)
		}
	}
	if err := syncDirs(tmp); err != nil {
		return fmt.Errorf("store generation %d: %w", r.Number, err)
	}
	if err := os.Rename(tmp, s.generation(r.Number)); err != nil {
		return fmt.Errorf("store generation %d: %w", r.Number, err)
	}
	return syncDir(filepath.Join(s.dir, "generations"))
}

// describe reads what is recorded of a generation, without its ruleset.
func (s *store) describe(n uint64) (record, error) {
	var r record
	path := filepath.Join(s.generation(n), "record.json")
	b, err := os.ReadFile(path)
	if err == nil {
		err = unseal(b, &r)
	}
	if err == nil && r.Number != n {
		err = fmt.Errorf("%w: it is the record of generation %d", ErrDamaged, r.Number)
	}
	if err != nil {
		return record{}, fmt.Errorf("generation %d: %s: %w", n, path, err)
	}
	r.sum = checksum(b)
	return r, nil
}

// load reads a generation and checks that its ruleset is the one that was stored.
func (s *store) load(n uint64) (record, error) {
	r, err := s.describe(n)
	if err != nil {
		return r, err
	}
	text, err := s.read(n, "ruleset.nft", r.SHA256)
	if err != nil {
		return r, err
	}
	r.text = string(text)
	for name, sum := range r.Sets {
		content, err := s.read(n, name, sum)
		if err != nil {
			return r, err
		}
		f, err := readFill(name, content)
		if err != nil {
			return r, fmt.Errorf("generation %d: %w: %s: %w", n, ErrDamaged, name, err)
		}
		r.fills = append(r.fills, f)
	}
	return r, nil
}

// loadConfirmed is load for the generation that was confirmed.
func (s *store) loadConfirmed(c confirmation) (record, error) {
	r, err := s.load(c.Number)
	if err == nil && r.sum != c.SHA256 {
		err = fmt.Errorf("generation %d: %s: %w: it is not the one that was confirmed", c.Number, s.generation(c.Number), ErrDamaged)
	}
	return r, err
}

// read reads a file of a generation that has the given checksum.
func (s *store) read(n uint64, name, sum string) ([]byte, error) {
	path := filepath.Join(s.generation(n), name)
	content, err := os.ReadFile(path)
	if err == nil && checksum(content) != sum {
		err = fmt.Errorf("%s: %w: its checksum is not the one recorded", path, ErrDamaged)
	}
	if err != nil {
		return nil, fmt.Errorf("generation %d: %w", n, err)
	}
	return content, nil
}

// policy reads a generation's copy of its policy.
func (s *store) policy(n uint64) (map[string][]byte, error) {
	r, err := s.describe(n)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, sum := range r.Files {
		if files[name], err = s.read(n, filepath.Join("files", name), sum); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// remove forgets a generation. Its folder disappears by one rename, so that a
// process that dies here leaves no half of it.
func (s *store) remove(n uint64) error {
	gone := filepath.Join(s.dir, "generations", fmt.Sprintf("%s%d", gonePrefix, n))
	if err := os.Rename(s.generation(n), gone); err != nil {
		return fmt.Errorf("forget generation %d: %w", n, err)
	}
	return os.RemoveAll(gone)
}

// Folders that are not complete yet, and that are being removed.
const (
	newPrefix  = ".new-"
	gonePrefix = ".gone-"
)

// sweep removes the folders that dead processes left half made or half removed.
// Only the holder of the lock may: the others' are at work.
func (s *store) sweep() error {
	var errs []error
	for _, prefix := range []string{newPrefix, gonePrefix} {
		left, err := filepath.Glob(filepath.Join(s.dir, "generations", prefix+"*"))
		errs = append(errs, err)
		for _, path := range left {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}

// prune removes old generations, but none of those in use nor of the last ones confirmed.
func (s *store) prune(inUse ...uint64) error {
	if err := s.sweep(); err != nil {
		return err
	}
	all, err := s.numbers()
	if err != nil {
		return err
	}
	marked, err := s.marked()
	if err != nil {
		return err
	}
	inUse = append(inUse, marked[:min(len(marked), keptConfirmed)]...)
	var errs []error
	for _, n := range all[:max(0, len(all)-kept)] {
		if !slices.Contains(inUse, n) {
			errs = append(errs, s.remove(n))
		}
	}
	return errors.Join(errs...)
}

func writeSync(path string, b []byte) error {
	return createSync(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// createSync writes a file, and its folder where that is missing, to the disk.
func createSync(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Sync(), f.Close())
}

// syncDirs syncs a folder and every one below it: a file outlives a power cut only if each
// folder on the way to it was synced.
func syncDirs(path string) error {
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return syncDir(path)
	})
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
