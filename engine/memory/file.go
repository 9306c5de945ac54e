package memory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// fileVersion is the version of the file's format.
const fileVersion = 1

// lastYear is before the years that JSON has no four digits for, in whatever time zone.
const lastYear = 9000

// document is the file.
type document struct {
	Version int         `json:"version"`
	Entries []entryLine `json:"entries"`
}

type entryLine struct {
	Key   string    `json:"key"`
	Value any       `json:"value"`
	Until time.Time `json:"until,omitzero"`
}

// encode writes entries in the order of their names.
func encode(entries map[string]entry) []byte {
	doc := document{Version: fileVersion, Entries: []entryLine{}}
	for key, e := range entries {
		doc.Entries = append(doc.Entries, entryLine{key, e.value, e.until.UTC()})
	}
	slices.SortFunc(doc.Entries, func(a, b entryLine) int { return strings.Compare(a.Key, b.Key) })
	data, err := json.MarshalIndent(doc, "", "\t")
	if err != nil {
		panic(err) // CheckValue lets nothing in that JSON cannot say
	}
	return append(data, '\n')
}

// decode is the inverse of encode. It takes nothing that Remember would refuse.
func decode(data []byte) (map[string]entry, error) {
	var doc document
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the document")
	}
	switch {
	case doc.Version != fileVersion:
		return nil, fmt.Errorf("version %d is not known", doc.Version)
	case len(doc.Entries) > MaxKeys:
		return nil, fmt.Errorf("%d names, and %d are the most", len(doc.Entries), MaxKeys)
	}
	entries := make(map[string]entry, len(doc.Entries))
	for i, l := range doc.Entries {
		if err := errors.Join(CheckKey(l.Key), CheckValue(l.Value)); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		if l.Until.Year() > lastYear {
			return nil, fmt.Errorf("entry %d: no time ends in the year %d", i+1, l.Until.Year())
		}
		if _, twice := entries[l.Key]; twice {
			return nil, fmt.Errorf("entry %d: the name %q is there twice", i+1, l.Key)
		}
		entries[l.Key] = entry{l.Value, l.Until}
	}
	return entries, nil
}
