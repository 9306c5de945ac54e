package banlist

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ipsets is what the lines so far said about the sets.
type ipsets struct {
	types   map[string]string // by name
	timeout map[string]bool   // those whose entries can end
}

// read reads a line of `ipset save`.
func (s *ipsets) read(o *output, number int, text, _ string) {
	e := Entry{Line: number}
	words, err := splitQuoted(text)
	switch {
	case err != nil:
		o.mistake(e, "%w", err)
	case len(words) >= 3 && words[0] == "create":
		s.create(words[1:])
	case len(words) >= 3 && words[0] == "add":
		s.add(o, e, words[1:])
	default:
		o.mistake(e, "%q is no line of ipset save: it begins with create or add", shorten(text))
	}
}

func (s *ipsets) create(words []string) {
	if s.types == nil {
		s.types, s.timeout = map[string]string{}, map[string]bool{}
	}
	s.types[words[0]] = words[1]
	for _, w := range words[2:] {
		s.timeout[words[0]] = s.timeout[words[0]] || w == "timeout"
	}
}

func (s *ipsets) add(o *output, e Entry, words []string) {
	e.Set, e.By = words[0], "ipset "+words[0]
	switch typ := s.types[e.Set]; typ {
	case "", "hash:ip", "hash:net", "bitmap:ip":
	default:
		o.mistake(e, "the set %s is of type %s, which holds more or other than addresses", shorten(e.Set), shorten(typ))
		return
	}
	for i := 2; i < len(words); i++ {
		value := ""
		if i+1 < len(words) {
			value = words[i+1]
		}
		switch words[i] {
		case "nomatch":
			o.mistake(e, "%s is an exception (nomatch) from a larger prefix, which cannot be imported", shorten(words[1]))
			return
		case "comment":
			e.Why = value
			i++
		case "timeout":
			seconds, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				o.mistake(e, "%s: the timeout %q is no number of seconds", shorten(words[1]), shorten(value))
				return
			}
			e.Endless = seconds == 0
			if seconds > 0 {
				e.Until = o.now.Add(time.Duration(seconds) * time.Second)
			}
			i++
		}
	}
	if e.Until.IsZero() && s.timeout[e.Set] {
		e.Endless = true
	}
	o.entry(e, words[1])
}

// splitQuoted splits a line into words, of which some are in quotes.
func splitQuoted(text string) ([]string, error) {
	var words []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		if text[0] != '"' {
			word, rest, _ := strings.Cut(text, " ")
			words, text = append(words, word), rest
			continue
		}
		word, rest, ok := strings.Cut(text[1:], `"`)
		if !ok {
			return nil, fmt.Errorf("a quote is not closed")
		}
		words, text = append(words, word), rest
	}
	return words, nil
}
