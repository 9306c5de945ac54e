package banlist

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine is how long a line of a list may be.
const maxLine = 64 << 10

// readLines hands over each line that says something, without comments and space around it.
func readLines(r io.Reader, o *output, line func(o *output, number int, text, comment string)) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), maxLine)
	number := 0
	for sc.Scan() && !o.stopped {
		number++
		text := sc.Text()
		if number == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		text, comment := cutComment(text)
		if text != "" {
			line(o, number, text, comment)
		}
	}
	if errors.Is(sc.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("line %d is longer than %d bytes: this is no list of addresses", number+1, maxLine)
	}
	return sc.Err()
}

// cutComment splits off what stands behind a # or ; outside of quotes.
func cutComment(line string) (text, comment string) {
	quoted := false
	for i, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
		case (c == '#' || c == ';') && !quoted:
			return strings.TrimSpace(line[:i]), strings.TrimSpace(line[i+1:])
		}
	}
	return strings.TrimSpace(line), ""
}

// readPlain reads a line of a plain list.
func readPlain(o *output, number int, text, comment string) {
	o.entry(Entry{Line: number, Why: comment}, text)
}

// lineReader knows which line the bytes that it handed over stand in.
type lineReader struct {
	r      io.Reader
	offset int64   // how many bytes it handed over
	breaks []int64 // the offsets of the line breaks among them that at has not passed
	line   int     // of what stands behind those that it has
}

func (l *lineReader) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	for i, c := range b[:n] {
		if c == '\n' {
			l.breaks = append(l.breaks, l.offset+int64(i))
		}
	}
	l.offset += int64(n)
	return n, err
}

// at returns the line of an offset. Offsets only grow.
func (l *lineReader) at(offset int64) int {
	passed := 0
	for passed < len(l.breaks) && l.breaks[passed] < offset {
		passed++
	}
	l.line += passed
	l.breaks = l.breaks[passed:]
	return l.line
}

// Detect tells a list's format by how it begins; peeked is its first bytes, a few thousand where it has so many.
func Detect(peeked []byte) (Format, error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(peeked, []byte("\ufeff")))
	switch {
	case bytes.HasPrefix(peeked, []byte("SQLite format 3\x00")):
		return Fail2ban, nil
	case bytes.IndexByte(peeked, 0) >= 0:
		return "", errors.New("this is no text, and no SQLite database either")
	case len(text) == 0:
		return Plain, nil
	case text[0] == '<':
		return "", errors.New("this is an HTML page or XML, not a list of bans")
	case text[0] == '{':
		return JSON, nil
	case text[0] == '[', bytes.Equal(text, []byte("null")):
		return CrowdSec, nil
	}
	for line := range strings.Lines(string(text)) {
		if line, _ = cutComment(line); line != "" {
			return detectLine(line), nil
		}
	}
	return Plain, nil
}

// detectLine tells a format by its first line that says something.
func detectLine(line string) Format {
	words := strings.Fields(line)
	has := func(n int, word string) bool { return len(words) > n && words[n] == word }
	switch {
	case has(0, "create") && !has(1, "element") && !has(1, "table"), has(0, "add") && len(words) > 2 && !has(1, "element") && !has(1, "table"):
		return IPSet
	case has(0, "table"), has(0, "add"), has(0, "create"), has(0, "flush"), has(0, "elements"), has(0, "set"):
		return NFT
	}
	if _, err := csvColumns(strings.Split(line, ",")); err == nil {
		return CSV
	}
	return Plain
}
