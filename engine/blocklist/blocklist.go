// Package blocklist keeps lists of addresses that others publish: it fetches them
// again and again, takes none that looks wrong, and has the last good copy on disk.
package blocklist

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"
)

// A Format is how a list is written.
type Format string

// The formats. A list with anything in it that is not of its format is refused as a whole.
const (
	Plain Format = "plain" // one address, prefix or range a line; # and ; begin a comment
	CIDR  Format = "cidr"  // the same, of prefixes only
	JSON  Format = "json"  // an array, or one value a line: texts, or objects with an ip, cidr, prefix, address or range
)

// Bounds of what a Spec may say, and what it says unless told otherwise.
const (
	MinEvery      = time.Minute
	DefaultEvery  = time.Hour
	MaxEntries    = 1 << 20
	DefaultMax    = 1 << 17
	DefaultShrink = 50
)

// A Spec says where a list comes from and what is to be expected of it. It is comparable.
type Spec struct {
	Name   string
	URL    string // or
	File   string // a whole path, or one in Folder
	Folder string // the policy's, on this host; a File in it is not followed out of it
	HTTP   bool   // it may come without encryption
	Every  time.Duration
	Format Format
	Max    int // entries; a longer list is refused
	Shrink int // by how many percent of its entries a list may shrink at once; 100 is any
}

// Check returns what is wrong with a Spec.
func (s Spec) Check() error {
	switch {
	case (s.URL == "") == (s.File == ""):
		return errors.New("it needs either a url or a file")
	case s.File != "":
		return nil
	}
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return fmt.Errorf("%q is no address of a list: write it as \"https://lists.example.org/drop.txt\"", s.URL)
	case u.Scheme == "http" && !s.HTTP:
		return fmt.Errorf("%q can be changed by anybody on the way: write https, or http = true if that must be", s.URL)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q is not fetched by https", s.URL)
	}
	return nil
}

// State is what is known of a list.
type State struct {
	Name     string    `json:"name"`
	Source   string    `json:"source"`
	Entries  int       `json:"entries"`            // of the copy at hand
	Fetched  time.Time `json:"fetched,omitzero"`   // when that came
	Checked  time.Time `json:"checked,omitzero"`   // when it was last asked for
	Next     time.Time `json:"next,omitzero"`      // when it will be
	Error    string    `json:"error,omitempty"`    // of the last time
	Failures uint64    `json:"failures,omitempty"` // since the last time that it went well
	Refused  uint64    `json:"refused,omitempty"`  // how often what came was refused

	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"` // its Last-Modified
}

func (s Spec) source() string {
	switch {
	case s.File == "":
		return s.URL
	case filepath.IsAbs(s.File):
		return s.File
	}
	return filepath.Join(s.Folder, s.File)
}
