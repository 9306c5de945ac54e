// Package pattern matches Lua 5.1 patterns in a bounded number of steps.
//
// It follows lstrlib.c of Lua 5.1.5, with lengths in place of terminating zeros.
package pattern

import (
	"errors"
	"strings"
)

const (
	maxCaptures = 32  // LUA_MAXCAPTURES
	maxDepth    = 200 // MAXCCALLS of later Luas; also keeps the Go stack small
)

// ErrSteps says that a match would take more steps than allowed.
var ErrSteps = errors.New("pattern takes too many steps on this text")

// Capture is what one pair of parentheses matched.
type Capture struct {
	Start, End int  // byte offsets
	Position   bool // an empty pair: it captured the position Start+1
}

// Matcher searches one text for one pattern.
type Matcher struct {
	Steps    int // how many steps may still be taken; negative after ErrSteps
	text     string
	pat      string
	anchored bool
	depth    int
	open     [maxCaptures]bool
	capture  [maxCaptures]Capture
	level    int // how many captures there are so far
}

// New makes a matcher that may take a number of steps, in all its searches
// together. A step is about one comparison of a byte.
func New(text, pat string, steps int) *Matcher {
	m := &Matcher{Steps: steps, text: text}
	m.pat, m.anchored = strings.CutPrefix(pat, "^")
	return m
}

// Anchored says whether the pattern starts with ^: Find then looks only at from.
func (m *Matcher) Anchored() bool { return m.anchored }

// Find searches for the first match that starts at or after from. The error is
// a malformed pattern or ErrSteps.
func (m *Matcher) Find(from int) (start, end int, found bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(fault)
			if !ok {
				panic(r)
			}
			err = fault.error
		}
	}()
	for start = from; start <= len(m.text); start++ {
		m.level, m.depth = 0, 0
		if end = m.match(start, 0); end >= 0 {
			m.checkClosed()
			return start, end, true, nil
		}
		if m.anchored {
			break
		}
	}
	return 0, 0, false, nil
}

// Captures are those of the last match; they are valid until the next Find.
func (m *Matcher) Captures() []Capture { return m.capture[:m.level] }

// fault carries an error up through the recursion of a match.
type fault struct{ error }

func fail(text string) { panic(fault{errors.New(text)}) }

func (m *Matcher) step(n int) {
	if m.Steps -= n; m.Steps < 0 {
		panic(fault{ErrSteps})
	}
}

func (m *Matcher) checkClosed() {
	for _, open := range m.open[:m.level] {
		if open {
			fail("malformed pattern (unfinished capture)")
		}
	}
}

// match matches the rest of the pattern, from p, at offset s of the text. It
// returns where the match ends, or -1.
func (m *Matcher) match(s, p int) int {
	if m.depth++; m.depth > maxDepth {
		fail("pattern is too complex")
	}
	end := m.rest(s, p)
	m.depth--
	return end
}

func (m *Matcher) rest(s, p int) int {
	for p < len(m.pat) {
		m.step(1)
		switch m.pat[p] {
		case '(':
			return m.startCapture(s, p+1)
		case ')':
			return m.endCapture(s, p+1)
		case '$':
			if p+1 == len(m.pat) {
				return m.atEnd(s)
			}
		case '%':
			if next, q, ok := m.escape(s, p+1); ok {
				if next < 0 {
					return -1
				}
				s, p = next, q
				continue
			}
		}
		end := m.classEnd(p)
		if end < len(m.pat) && strings.IndexByte("?*+-", m.pat[end]) >= 0 {
			return m.repeat(s, p, end)
		}
		if !m.single(s, p, end) {
			return -1
		}
		s, p = s+1, end
	}
	return s
}

func (m *Matcher) atEnd(s int) int {
	if s == len(m.text) {
		return s
	}
	return -1
}

// repeat matches the class pat[p:end] with the repetition mark at end.
func (m *Matcher) repeat(s, p, end int) int {
	switch m.pat[end] {
	case '?':
		if m.single(s, p, end) {
			if e := m.match(s+1, end+1); e >= 0 {
				return e
			}
		}
		return m.match(s, end+1)
	case '-':
		for {
			if e := m.match(s, end+1); e >= 0 {
				return e
			}
			if !m.single(s, p, end) {
				return -1
			}
			s++
		}
	case '+':
		if !m.single(s, p, end) {
			return -1
		}
		s++
	}
	n := 0
	for m.single(s+n, p, end) {
		n++
	}
	for ; n >= 0; n-- {
		if e := m.match(s+n, end+1); e >= 0 {
			return e
		}
	}
	return -1
}

// escape matches what begins with % and is not a class: %b, %f and %1 to %9.
// It returns the next offset of the text, or -1, and of the pattern.
func (m *Matcher) escape(s, p int) (next, q int, ok bool) {
	if p == len(m.pat) {
		return 0, 0, false
	}
	switch c := m.pat[p]; {
	case c == 'b':
		return m.balance(s, p+1), p + 3, true
	case c == 'f':
		if p++; p >= len(m.pat) || m.pat[p] != '[' {
			fail("malformed pattern (missing '[' after '%f')")
		}
		end := m.classEnd(p)
		if m.inSet(m.at(s-1), p, end-1) || !m.inSet(m.at(s), p, end-1) {
			s = -1
		}
		return s, end, true
	case isDigit(c):
		return m.backReference(s, c), p + 1, true
	}
	return 0, 0, false
}

// at is a byte of the text, or 0 just outside it.
func (m *Matcher) at(s int) byte {
	if s < 0 || s >= len(m.text) {
		return 0
	}
	return m.text[s]
}

// balance matches %bxy, with x at p.
func (m *Matcher) balance(s, p int) int {
	if p+1 >= len(m.pat) {
		fail("malformed pattern (missing arguments to '%b')")
	}
	begin, end := m.pat[p], m.pat[p+1]
	if s >= len(m.text) || m.text[s] != begin {
		return -1
	}
	for depth, i := 1, s+1; i < len(m.text); i++ {
		m.step(1)
		switch m.text[i] {
		case end:
			if depth--; depth == 0 {
				return i + 1
			}
		case begin:
			depth++
		}
	}
	return -1
}

func (m *Matcher) backReference(s int, digit byte) int {
	i := int(digit) - '1'
	if i < 0 || i >= m.level || m.open[i] {
		fail("malformed pattern (invalid capture index)")
	}
	c := m.capture[i]
	if c.Position {
		return -1
	}
	m.step(c.End - c.Start)
	if !strings.HasPrefix(m.text[s:], m.text[c.Start:c.End]) {
		return -1
	}
	return s + c.End - c.Start
}

// startCapture matches from behind a "(" at p-1.
func (m *Matcher) startCapture(s, p int) int {
	if m.level == maxCaptures {
		fail("malformed pattern (too many captures)")
	}
	position := p < len(m.pat) && m.pat[p] == ')'
	if position {
		p++
	}
	m.capture[m.level] = Capture{Start: s, End: s, Position: position}
	m.open[m.level] = !position
	m.level++
	end := m.match(s, p)
	if end < 0 {
		m.level--
	}
	return end
}

// endCapture matches from behind a ")" at p-1.
func (m *Matcher) endCapture(s, p int) int {
	i := m.level - 1
	for i >= 0 && !m.open[i] {
		i--
	}
	if i < 0 {
		fail("malformed pattern (')' without '(')")
	}
	m.capture[i].End, m.open[i] = s, false
	end := m.match(s, p)
	if end < 0 {
		m.open[i] = true
	}
	return end
}
