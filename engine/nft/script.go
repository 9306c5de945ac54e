package nft

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A ScriptError is nft's refusal of a text, with all that it found wrong.
type ScriptError struct {
	Lines []ScriptLine // at least one
	Raw   string       // what nft printed
}

// A ScriptLine is one thing that nft found wrong.
type ScriptLine struct {
	// Line is the line in the text, from 1, or 0 if nft does not say which one.
	Line int
	// Col and EndCol are the first and the last column, from 1 and in bytes, or 0.
	Col, EndCol int
	// Message says what is wrong, without the quoted line.
	Message string
}

func (l ScriptLine) String() string {
	if l.Line == 0 {
		return l.Message
	}
	return fmt.Sprintf("line %d, column %d: %s", l.Line, l.Col, l.Message)
}

func (e *ScriptError) Error() string {
	text := make([]string, len(e.Lines))
	for i, l := range e.Lines {
		text[i] = l.String()
	}
	return strings.Join(text, "; ")
}

// Unwrap makes the sentinels testable that the messages amount to.
func (e *ScriptError) Unwrap() []error {
	var errs []error
	for _, l := range e.Lines {
		if err := sentinelOf(l.Message); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

var (
	// located is how a message about a place begins (nftables: src/erec.c, print_location). The name is that of standard
	// input, which nft calls /dev/stdin, of an included file, or "internal" with the line 0.
	located = regexp.MustCompile(`^(\S+):(\d+):(\d+)-(\d+): (?:(Error|Warning): )?(.*)$`)
	// included comes before a message about a place in an included file, once for each file around it, the outermost last.
	included = regexp.MustCompile(`^(?:In file included| {16}) from (\S+):(\d+):(\d+)-(\d+)[,:]$`)
	// unlocated is a message about no place in the text.
	unlocated = regexp.MustCompile(`^(?:netlink: )?Error: (.*)$`)
	// marker stands below a quoted line and points at the place in it.
	marker = regexp.MustCompile(`^[ \t]*[~^][ \t~^]*$`)
)

// parseScriptError reads what nft (1.0.6 and later) prints when it refuses a text: for each error, a line that says
// where and what, the line of the text, and a line with marks below the place. Warnings are left out.
func parseScriptError(printed []byte) *ScriptError {
	e := &ScriptError{Raw: string(printed)}
	lines := strings.Split(e.Raw, "\n")
	var from *ScriptLine // where the file is included that the next message is about
	for i := 0; i < len(lines); i++ {
		if m := included.FindStringSubmatch(lines[i]); m != nil {
			from = place(m)
			continue
		}
		var l *ScriptLine
		if m := located.FindStringSubmatch(lines[i]); m != nil {
			l = place(m)
			l.Message = m[6]
			if from != nil {
				l.Message = fmt.Sprintf("%s:%s: %s", m[1], m[2], l.Message)
				l.Line, l.Col, l.EndCol = from.Line, from.Col, from.EndCol
				from = nil
			}
			if m[5] == "Warning" {
				l.Message = ""
			}
		} else if m := unlocated.FindStringSubmatch(lines[i]); m != nil {
			l = &ScriptLine{Message: m[1]}
		}
		if l == nil {
			continue
		}
		// The quoted line may look like anything, even like a message.
		if i+2 < len(lines) && marker.MatchString(lines[i+2]) {
			i += 2
		}
		if l.Message != "" {
			e.Lines = append(e.Lines, *l)
		}
	}
	if len(e.Lines) == 0 {
		e.Lines = []ScriptLine{{Message: strings.TrimSpace(e.Raw)}}
	}
	return e
}

// place reads the numbers of a place, which stand in the second to fourth group.
func place(m []string) *ScriptLine {
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+2]) // digits; one that is too large is no place either
	}
	if n[0] == 0 {
		return &ScriptLine{}
	}
	return &ScriptLine{Line: n[0], Col: n[1], EndCol: n[2]}
}
