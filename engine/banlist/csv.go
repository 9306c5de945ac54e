package banlist

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"moonlatch/engine/ban"
)

// columns are those of our CSV, in the order in which they are written.
func columns() []string { return []string{"target", "since", "until", "by", "why", "origin"} }

// csvColumns reads a header: where each column is.
func csvColumns(header []string) (map[string]int, error) {
	at := map[string]int{}
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
		if _, twice := at[name]; twice {
			return nil, fmt.Errorf("the column %q is there twice", shorten(name))
		}
		if !slices.Contains(columns(), name) {
			return nil, fmt.Errorf("the column %q is not known: the first line names columns, of %s", shorten(name), strings.Join(columns(), ", "))
		}
		at[name] = i
	}
	if _, ok := at["target"]; !ok {
		return nil, errors.New(`the first line names no column "target"`)
	}
	return at, nil
}

// readCSV reads lines of comma-separated values behind a header.
func readCSV(in io.Reader, o *output) error {
	r := csv.NewReader(in)
	r.ReuseRecord, r.TrimLeadingSpace = true, true
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("its first line cannot be read: %w", err)
	}
	at, err := csvColumns(header)
	if err != nil {
		return err
	}
	for !o.stopped {
		row, err := r.Read()
		line := 0
		if len(row) > 0 {
			line, _ = r.FieldPos(0)
		}
		var bad *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, csv.ErrFieldCount):
			o.mistake(Entry{Line: line}, "it has %d values, and the first line names %d", len(row), len(header))
		case errors.As(err, &bad):
			o.mistake(Entry{Line: bad.StartLine}, "%w", bad.Err)
		case err != nil:
			return err
		default:
			o.row(line, at, row)
		}
	}
	return nil
}

func (o *output) row(line int, at map[string]int, row []string) {
	e := Entry{Line: line}
	value := func(column string) string {
		if i, ok := at[column]; ok {
			return strings.TrimSpace(row[i])
		}
		return ""
	}
	for column, to := range map[string]*time.Time{"since": &e.Since, "until": &e.Until} {
		text := value(column)
		if text == "" {
			continue
		}
		var err error
		if *to, err = time.Parse(time.RFC3339, text); err != nil {
			o.mistake(e, "%s: %q is no time: write it as 2026-01-31T12:00:00Z", column, shorten(text))
			return
		}
	}
	e.By, e.Why, e.Origin = value("by"), value("why"), ban.Origin(value("origin"))
	if err := checkOrigin(e.Origin); err != nil {
		o.mistake(e, "%w", err)
		return
	}
	o.entry(e, value("target"))
}
