package sandbox

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/yuin/gopher-lua/parse"
)

// syntaxError says where a source text is no Lua, and what is most likely meant.
func syntaxError(name string, source []byte, err error) *Error {
	p, ok := err.(*parse.Error)
	if !ok {
		return &Error{File: name, Msg: err.Error()}
	}
	e := &Error{File: name, Line: p.Pos.Line, Column: p.Pos.Column, Msg: strings.TrimSpace(p.Message)}
	e.Msg = strings.Replace(e.Msg, "parse error", "syntax error", 1)
	if e.Msg == "unterminated string" && e.Line > 1 && p.Pos.Line != parse.EOF {
		e.Line, e.Column = e.Line-1, 0 // the parser is behind the line's end
	}
	if p.Pos.Line == parse.EOF {
		e.Line, e.Column = 1+bytes.Count(bytes.TrimSpace(source), []byte("\n")), 0
		complaint := e.Msg
		if e.Msg += " at the end of the file"; complaint == "syntax error" {
			e.Msg += ": is an end, a } or a ) missing?"
		}
		return e
	}
	if p.Token == "" {
		return e
	}
	line := lineOf(source, e.Line)
	if start := e.Column - len(p.Token); start >= 0 && start < len(line) && strings.HasPrefix(line[start:], p.Token) {
		e.Column = start + 1 // the parser tells where a word ends
	}
	e.Msg += fmt.Sprintf(" near %q", p.Token) + hint(source, line, e.Line, e.Column, p.Token)
	return e
}

func lineOf(source []byte, n int) string {
	for line := range bytes.Lines(source) {
		if n--; n == 0 {
			return string(bytes.TrimRight(line, "\r\n"))
		}
	}
	return ""
}

// hint is for what other languages write otherwise, and for what is often forgotten.
func hint(source []byte, line string, number, column int, token string) string {
	before, rest := line, ""
	if column > 0 && column <= len(line) {
		before, rest = line[:column-1], line[column-1:]
	}
	pair := last(before) + rest[:min(1, len(rest))] // an operator of two signs, where the parser fails at its second
	for _, h := range []struct{ sign, means string }{
		{"!=", `Lua writes "~=" for "is not equal"`}, {"!", `Lua writes "not"`}, {"&&", `Lua writes "and"`}, {"||", `Lua writes "or"`},
		{"//", "a comment begins with --"}, {"/*", "a comment begins with --"},
		{"++", "Lua writes n = n + 1"}, {"+=", "Lua writes n = n + 1"}, {"-=", "Lua writes n = n - 1"}, {"[", "a list is written { 80, 443 }"},
	} {
		if strings.HasPrefix(rest, h.sign) || pair == h.sign {
			return ": " + h.means
		}
	}
	table := inTable(source, number, column)
	switch {
	case token == "=" && condition(before):
		return `: "==" compares`
	case token == "=" && table && last(before) == `"`:
		return ": a field is written name = value, without quotes"
	case token == "=" && !table && strings.Contains(before, "("):
		return ": fields stand in braces, { name = value }"
	case table && strings.HasSuffix(strings.TrimSpace(before), ":"):
		return ": a field is written name = value"
	case token == "{" && last(before) == ")":
		return ": a block has no braces, and ends with end"
	case token == "-" && strings.HasPrefix(strings.TrimSpace(before), "local "):
		return `: a name consists of letters, digits and "_"`
	case table && token == "end":
		return ": is a } missing before it?"
	case table && !strings.ContainsAny(token, "=})],;"):
		return ": is a comma missing before it?"
	}
	return ""
}

// last is the last sign of a text, spaces aside.
func last(text string) string {
	text = strings.TrimRight(text, " \t")
	return text[max(len(text)-1, 0):]
}

// condition reports whether a line is in the midst of one.
func condition(before string) bool {
	words := strings.Fields(before)
	for _, opens := range []string{"if", "elseif", "while", "until"} {
		if len(words) > 0 && words[0] == opens {
			return !strings.Contains(before, " then ")
		}
	}
	return false
}

// inTable reports whether a place is in a table, as far as counting braces tells.
func inTable(source []byte, number, column int) bool {
	open := 0
	for line := range bytes.Lines(source) {
		if number--; number == 0 {
			line = line[:min(max(column-1, 0), len(line))]
		}
		code, _, _ := bytes.Cut(line, []byte("--"))
		open += bytes.Count(code, []byte("{")) - bytes.Count(code, []byte("}"))
		if number == 0 {
			break
		}
	}
	return open > 0
}
