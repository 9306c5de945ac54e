package banlist

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// maxWord is how long a word of nft text may be.
const maxWord = 4096

// nftReader reads elements of sets from what nft prints, or from commands that add them.
type nftReader struct {
	in     *bufio.Reader
	out    *output
	line   int
	recent []string // the words since the last brace, semicolon or line break
	set    string   // whose braces are open
	found  bool     // some elements
}

// readNFT reads nft text.
func readNFT(in *bufio.Reader, o *output) error {
	r := &nftReader{in: in, out: o, line: 1}
	for !o.stopped {
		word, err := r.word()
		switch {
		case errors.Is(err, io.EOF) && !r.found:
			return errors.New("it is no nft text with elements of a set")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		switch word {
		case "{":
			if err := r.open(); err != nil {
				return err
			}
			r.recent = r.recent[:0]
		case "}", ";", "\n":
			r.recent = r.recent[:0]
		default:
			if len(r.recent) < 8 {
				r.recent = append(r.recent, word)
			}
		}
	}
	return nil
}

// open looks what a brace begins.
func (r *nftReader) open() error {
	w := r.recent
	n := len(w)
	switch {
	case n == 2 && (w[0] == "set" || w[0] == "map"):
		r.set = w[1]
	case n == 2 && w[0] == "elements" && w[1] == "=":
		return r.elements(r.set)
	case n >= 4 && (w[0] == "add" || w[0] == "create") && w[1] == "element":
		return r.elements(w[n-1])
	}
	return nil
}

// elements reads up to the closing brace.
func (r *nftReader) elements(set string) error {
	r.found = true
	var words []string
	line := r.line
	for !r.out.stopped {
		word, err := r.word()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("line %d: the elements of the set %q do not end: the text is cut off", r.line, shorten(set))
		}
		if err != nil {
			return err
		}
		switch word {
		case "\n":
		case ",", "}":
			if len(words) > 0 {
				r.element(Entry{Line: line, Set: set, By: strings.TrimSpace("nft " + set)}, words)
			}
			if words = words[:0]; word == "}" {
				return nil
			}
		default:
			if len(words) == 0 {
				line = r.line
			}
			if len(words) > 32 {
				return fmt.Errorf("line %d: an element of more than 32 words", r.line)
			}
			words = append(words, word)
		}
	}
	return nil
}

// element reads one element: an address and what is said about it.
func (r *nftReader) element(e Entry, words []string) {
	var timeout, expires time.Duration
	for i := 1; i < len(words); i++ {
		value := ""
		if i+1 < len(words) {
			value = words[i+1]
		}
		switch words[i] {
		case "timeout", "expires":
			d, err := model.ParseDuration(value)
			if err != nil {
				r.out.mistake(e, "%s: the %s %q is no duration", shorten(words[0]), words[i], shorten(value))
				return
			}
			if words[i] == "timeout" {
				timeout = time.Duration(d)
			} else {
				expires = time.Duration(d)
			}
			i++
		case "comment":
			e.Why = value
			i++
		case "counter", "packets", "bytes", "last", "used", "never":
		case ":":
			r.out.mistake(e, "%s is an element of a map, not an address", shorten(words[0]))
			return
		case ".":
			r.out.mistake(e, "%s is only a part of its element, which is more than an address", shorten(words[0]))
			return
		}
	}
	switch {
	case expires > 0:
		e.Until = r.out.now.Add(expires)
		e.Since = e.Until.Add(-max(timeout, expires))
	case timeout > 0:
		e.Until = r.out.now.Add(timeout)
	}
	r.out.entry(e, words[0])
}

// word reads the next word, quoted text, brace, comma, semicolon or line break. Comments are passed over.
func (r *nftReader) word() (string, error) {
	var b []byte
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			if len(b) > 0 && errors.Is(err, io.EOF) {
				return string(b), nil
			}
			return "", err
		}
		switch c {
		case ' ', '\t', '\r':
			if len(b) > 0 {
				return string(b), nil
			}
		case '\n', '{', '}', ',', ';', '"', '#':
			if len(b) > 0 {
				return string(b), r.in.UnreadByte()
			}
			return r.mark(c)
		default:
			if b = append(b, c); len(b) > maxWord {
				return "", fmt.Errorf("line %d: a word of more than %d bytes: this is no nft text", r.line, maxWord)
			}
		}
	}
}

// mark reads what a character that is no part of a word begins.
func (r *nftReader) mark(c byte) (string, error) {
	switch c {
	case '\n':
		r.line++
	case '"':
		return r.until('"')
	case '#':
		_, err := r.in.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.in.ReadSlice('\n')
		}
		r.line++
		return "\n", err
	}
	return string(c), nil
}

// until reads quoted text.
func (r *nftReader) until(end byte) (string, error) {
	var b []byte
	for {
		c, err := r.in.ReadByte()
		switch {
		case err != nil:
			return "", fmt.Errorf("line %d: a quote is not closed", r.line)
		case c == end:
			return string(b), nil
		case c == '\n' || len(b) > maxWord:
			return "", fmt.Errorf("line %d: a quote is not closed", r.line)
		}
		b = append(b, c)
	}
}
