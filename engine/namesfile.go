package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"moonlatch/engine/control"
)

// The bounds of what is kept of names.
const (
	maxAnswerAge = 30 * 24 * time.Hour // since it resolved: an address gets another owner some day
	maxAnswers   = 1024                // names
	maxAddresses = 256                 // of each
	maxName      = 253                 // bytes, RFC 1035
)

// namesFile keeps what the names that policies protect resolved to last, in the state directory: for a daemon
// that starts while no resolver answers.
type namesFile struct{ path string }

func keptNames(state string) namesFile { return namesFile{filepath.Join(state, "names.json")} }

// answer is what a name resolved to.
type answer struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
	Resolved  time.Time    `json:"resolved"`
}

func (a answer) prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, addr := range a.Addresses {
		out = append(out, host(addr))
	}
	return out
}

// namesDocument is the content of the file.
type namesDocument struct {
	APIVersion string   `json:"apiVersion"`
	Names      []answer `json:"names"`
}

// parseNames reads the content of a file that somebody may have edited.
func parseNames(data []byte) ([]answer, error) {
	var doc namesDocument
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the document")
	}
	switch {
	case doc.APIVersion != control.Version:
		return nil, fmt.Errorf("apiVersion is %q, want %q", doc.APIVersion, control.Version)
	case len(doc.Names) > maxAnswers:
		return nil, fmt.Errorf("%d names, and %d are the most", len(doc.Names), maxAnswers)
	}
	seen := map[string]bool{}
	for i, a := range doc.Names {
		if err := a.check(); err != nil {
			return nil, fmt.Errorf("names[%d]: %w", i, err)
		}
		if seen[a.Name] {
			return nil, fmt.Errorf("names[%d]: %s is there twice", i, a.Name)
		}
		seen[a.Name] = true
	}
	return doc.Names, nil
}

func (a answer) check() error {
	if len(a.Name) == 0 || len(a.Name) > maxName || slices.ContainsFunc([]byte(a.Name), func(c byte) bool { return c <= ' ' || c > '~' }) {
		return fmt.Errorf("%.40q is no name", a.Name)
	}
	if len(a.Addresses) == 0 || len(a.Addresses) > maxAddresses {
		return fmt.Errorf("%d addresses: there are 1 to %d", len(a.Addresses), maxAddresses)
	}
	for _, addr := range a.Addresses {
		if !addr.IsValid() || addr.Zone() != "" || addr.Is4In6() {
			return fmt.Errorf("%q is no address to protect", addr)
		}
	}
	return nil
}

// read returns what is not too old, by name. A file that is not there holds nothing.
func (f namesFile) read(now time.Time) (map[string]answer, error) {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []answer
	if err == nil {
		list, err = parseNames(data)
	}
	if err != nil {
		return nil, fmt.Errorf("what protected names resolved to cannot be read from %s: %w", f.path, err)
	}
	out := make(map[string]answer)
	for _, a := range list {
		if now.Sub(a.Resolved).Abs() < maxAnswerAge { // a clock may have been ahead
			out[a.Name] = a
		}
	}
	return out, nil
}

// write replaces the file by the latest answers.
func (f namesFile) write(list []answer) error {
	slices.SortFunc(list, func(x, y answer) int { return y.Resolved.Compare(x.Resolved) })
	doc := namesDocument{control.Version, list[:min(len(list), maxAnswers)]}
	if err := replaceFile(f.path, doc); err != nil {
		return fmt.Errorf("what protected names resolve to is not kept: %w", err)
	}
	return nil
}
