package ruleset

import (
	"fmt"
	"strings"
)

// Script is nft text in which each line knows the place in the policy that it
// came from, so that nft's errors can be shown where the author can mend them.
type Script struct {
	text strings.Builder
	pos  []Pos // of each line

	optional []part // what stands there because of Options
}

// part is a part of a text, from one byte up to another.
type part struct{ from, to int }

// String returns the text.
func (s *Script) String() string { return s.text.String() }

// Pos returns the place in the policy behind a line of the text, counted from
// 1; ok is false for a line that no one place in the policy stands for.
func (s *Script) Pos(line int) (pos Pos, ok bool) {
	if line < 1 || line > len(s.pos) {
		return Pos{}, false
	}
	pos = s.pos[line-1]
	return pos, pos.File != ""
}

// Refused is a complaint of nft's about a line of the text as a mistake of the policy's, nil where no place in the
// policy stands for the line.
func (s *Script) Refused(line int, complaint string) *Error {
	pos, ok := s.Pos(line)
	if !ok {
		return nil
	}
	lines := strings.Split(s.text.String(), "\n")
	return Errorf(pos, "the kernel refuses this: %s: %.300s", complaint, strings.TrimSpace(lines[line-1]))
}

// Line adds one line of nft text that has no place in the policy.
func (s *Script) Line(format string, args ...any) { s.at(Pos{}, format, args...) }

// Append adds every line of another script.
func (s *Script) Append(o *Script) {
	for _, p := range o.optional {
		s.optional = append(s.optional, part{s.text.Len() + p.from, s.text.Len() + p.to})
	}
	s.text.WriteString(o.text.String())
	s.pos = append(s.pos, o.pos...)
}

// isOptional says of what was written from a place on that Options asked for it.
func (s *Script) isOptional(from int) { s.optional = append(s.optional, part{from, s.text.Len()}) }

func (s *Script) at(pos Pos, format string, args ...any) {
	fmt.Fprintf(&s.text, format, args...)
	s.end(pos)
}

// words adds one line: those of its words that are not empty.
func (s *Script) words(pos Pos, indent string, words ...string) {
	s.text.WriteString(indent)
	space := ""
	for _, word := range words {
		if word != "" {
			s.text.WriteString(space)
			s.text.WriteString(word)
			space = " "
		}
	}
	s.end(pos)
}

func (s *Script) end(pos Pos) {
	s.text.WriteByte('\n')
	s.pos = append(s.pos, pos)
}
