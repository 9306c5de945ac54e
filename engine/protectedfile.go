package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"moonlatch/engine/control"
)

// errNotProtected is the error of taking away protection that the user did not give.
var errNotProtected = errors.New("is not on the list of moonlatch protect")

// maxNote bounds the note of what a user protects, in bytes.
const maxNote = 256

// protectedFile holds what the user protects, in the state directory. Several processes may change it at once.
type protectedFile struct{ path string }

func userList(state string) protectedFile {
	return protectedFile{filepath.Join(state, "protected.json")}
}

// protectedDocument is its content.
type protectedDocument struct {
	APIVersion string              `json:"apiVersion"`
	Protected  []control.Protected `json:"protected"`
}

// parseProtectedDocument reads the content of a file that somebody may have edited.
func parseProtectedDocument(data []byte) (protectedDocument, error) {
	var doc protectedDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		return doc, err
	}
	if doc.APIVersion != control.Version {
		return doc, fmt.Errorf("apiVersion is %q, want %q", doc.APIVersion, control.Version)
	}
	for i, e := range doc.Protected {
		p, err := parseProtected(e.Target)
		if err == nil {
			err = checkNote(e.Note)
		}
		if err != nil {
			return doc, fmt.Errorf("protected[%d]: %w", i, err)
		}
		doc.Protected[i].Target, doc.Protected[i].Owner = showTarget(p), control.OwnerUser
	}
	return doc, nil
}

// checkNote refuses a note that would spoil a table or a terminal.
func checkNote(note string) error {
	if len(note) > maxNote {
		return fmt.Errorf("the note has %d bytes, and %d are the most", len(note), maxNote)
	}
	for _, c := range note {
		if c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return fmt.Errorf("the note %.40q holds a character that cannot be printed", note)
		}
	}
	return nil
}

func (f protectedFile) list() ([]control.Protected, error) {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("what you protect: %w", err)
	}
	doc, err := parseProtectedDocument(data)
	if err != nil {
		return nil, fmt.Errorf("what you protect cannot be read from %s: %w: mend the file, or move it away", f.path, err)
	}
	return doc.Protected, nil
}

func (f protectedFile) prefixes() ([]netip.Prefix, error) {
	list, err := f.list()
	var out []netip.Prefix
	for _, e := range list {
		p, err := parseTarget(e.Target)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, err
}

// add returns the entry as it is now.
func (f protectedFile) add(target netip.Prefix, note string) (control.Protected, error) {
	entry := control.Protected{Target: showTarget(target), Owner: control.OwnerUser, Note: note, Added: time.Now().UTC().Truncate(time.Second)}
	err := f.change(func(list []control.Protected) ([]control.Protected, error) {
		if i := indexOf(list, target); i >= 0 {
			if entry.Added = list[i].Added; entry.Note == "" {
				entry.Note = list[i].Note
			}
			list[i] = entry
			return list, nil
		}
		return append(list, entry), nil
	})
	return entry, err
}

func (f protectedFile) remove(target netip.Prefix) error {
	return f.change(func(list []control.Protected) ([]control.Protected, error) {
		i := indexOf(list, target)
		if i < 0 {
			return nil, fmt.Errorf("%s %w", showTarget(target), errNotProtected)
		}
		return slices.Delete(list, i, i+1), nil
	})
}

func indexOf(list []control.Protected, target netip.Prefix) int {
	return slices.IndexFunc(list, func(e control.Protected) bool { return e.Target == showTarget(target) })
}

// change replaces the file by what becomes of its list, so that a crash leaves the one or the other.
func (f protectedFile) change(to func([]control.Protected) ([]control.Protected, error)) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	lock, err := os.OpenFile(f.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("what you protect: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("what you protect: lock: %w", err)
	}
	list, err := f.list()
	if err != nil {
		return err
	}
	if list, err = to(list); err != nil {
		return err
	}
	if err := replaceFile(f.path, protectedDocument{control.Version, append([]control.Protected{}, list...)}); err != nil {
		return fmt.Errorf("what you protect is as it was: %w", err)
	}
	return nil
}

// replaceFile writes a document durably: to a new file, which then takes the old one's place.
func replaceFile(path string, document any) error {
	data, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	fresh, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = fresh.Write(append(data, '\n'))
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
