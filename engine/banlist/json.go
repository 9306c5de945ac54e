package banlist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"moonlatch/engine/ban"
)

// apiVersion is that of the document which `moonlatch bans -o json` prints.
const apiVersion = "moonlatch/v1"

// record is one ban of our own JSON.
type record struct {
	Target string     `json:"target"`
	Since  time.Time  `json:"since,omitzero"`
	Until  time.Time  `json:"until,omitzero"`
	By     string     `json:"by"`
	Why    string     `json:"why"`
	Origin ban.Origin `json:"origin"`
}

// readJSON reads { "apiVersion": "moonlatch/v1", "bans": [ … ] }.
func readJSON(lines *lineReader, o *output) error {
	d := json.NewDecoder(lines)
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return notOurs(err)
	}
	version, bans := "", false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return notOurs(err)
		}
		switch {
		case key == "apiVersion":
			if err := d.Decode(&version); err != nil || version != apiVersion {
				return fmt.Errorf("its apiVersion is %q, and %q is expected", shorten(version), apiVersion)
			}
		case key == "bans" && version == "":
			return fmt.Errorf("it is not Moonlatch's: apiVersion %q is missing before the bans", apiVersion)
		case key == "bans":
			bans = true
			if err := eachObject(d, lines, o, (*output).record); err != nil {
				return err
			}
		default:
			var skipped json.RawMessage
			if err := d.Decode(&skipped); err != nil {
				return notOurs(err)
			}
		}
	}
	if _, err := d.Token(); err != nil {
		return notOurs(err)
	}
	if !bans {
		return fmt.Errorf(`it is not a list of Moonlatch's: it has no "bans"`)
	}
	return nil
}

func notOurs(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is cut off: its JSON does not end")
	}
	if err == nil {
		return errors.New("its JSON is not that of a list of bans")
	}
	return fmt.Errorf("its JSON cannot be read: %w", err)
}

// plainly says what is wrong with an object in words that are not Go's.
func plainly(err error) error {
	var bad *json.UnmarshalTypeError
	if errors.As(err, &bad) {
		return fmt.Errorf("%q is a %s, and that it cannot be", bad.Field, bad.Value)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// eachObject reads the objects of an array, or null.
func eachObject(d *json.Decoder, lines *lineReader, o *output, object func(o *output, line int, raw json.RawMessage)) error {
	t, err := d.Token()
	switch {
	case err == nil && t == nil:
		return nil
	case err != nil || t != json.Delim('['):
		return notOurs(err)
	}
	for d.More() && !o.stopped {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("line %d: %w", lines.at(lines.offset), notOurs(err))
		}
		object(o, lines.at(d.InputOffset()-int64(len(raw))), raw)
	}
	if o.stopped {
		return nil
	}
	if _, err := d.Token(); err != nil {
		return notOurs(err)
	}
	return nil
}

// record reads one ban.
func (o *output) record(line int, raw json.RawMessage) {
	e := Entry{Line: line}
	var r record
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		o.mistake(e, "%w", plainly(err))
		return
	}
	if err := checkOrigin(r.Origin); err != nil {
		o.mistake(e, "%w", err)
		return
	}
	e.Since, e.Until, e.By, e.Why, e.Origin = r.Since, r.Until, r.By, r.Why, r.Origin
	o.entry(e, r.Target)
}

func checkOrigin(origin ban.Origin) error {
	if origin != "" && origin != ban.Local && origin != ban.Manual {
		return fmt.Errorf("the origin %q is not known: it is %q or %q", shorten(string(origin)), ban.Local, ban.Manual)
	}
	return nil
}
