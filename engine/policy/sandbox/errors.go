package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// What an Error wraps when a limit stopped the policy.
var (
	ErrBudget   = errors.New("instruction budget used up")
	ErrDeadline = errors.New("took too long")
	ErrMemory   = errors.New("uses too much memory")
)

// Error is a syntax, compile or run time error of a policy.
type Error struct {
	File         string // as the policy's folder names it; empty when unknown
	Line, Column int    // from 1; 0 when unknown. Only syntax errors have a column
	Msg          string
	Traceback    string // one line per active call, innermost first; may be empty
	cause        error
}

func (e *Error) Error() string {
	if e.File == "" {
		return e.Msg
	}
	switch {
	case e.Line == 0:
		return e.File + ": " + e.Msg
	case e.Column > 0:
		return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Msg)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// Unwrap returns the limit or the file error behind e, if any.
func (e *Error) Unwrap() error { return e.cause }

// explain turns what a protected call returned into an Error. A stop by the
// meter is the error whatever the policy made of it.
func (s *State) explain(err error) *Error {
	e := &Error{}
	if err != nil {
		e = s.explainLua(err)
	}
	if m := s.meter; m.err != nil {
		e = &Error{File: m.file, Line: m.line, Msg: m.err.Error(), Traceback: e.Traceback, cause: m.err}
	}
	return e
}

func (s *State) explainLua(err error) *Error {
	api, ok := err.(*lua.ApiError)
	if !ok {
		return &Error{Msg: err.Error(), cause: err}
	}
	msg := tidy(message(api.Object))
	e := s.position(msg)
	if s.raised != nil && msg == s.raised.Error() {
		e = s.raised // it knows the column
	}
	e.Traceback = s.trace
	if e.File == "" {
		e.File, e.Line = s.traceFile, s.traceLine
	}
	s.trace, s.traceFile, s.traceLine = "", "", 0
	e.Msg = s.plainer(e)
	return e
}

// plainer says in the words of Lua what gopher-lua says in its own.
func (s *State) plainer(e *Error) string {
	if rest, ok := strings.CutPrefix(e.Msg, "attempt to index a non-table object("); ok {
		kind, key, _ := strings.Cut(rest, ")")
		return "attempt to index a " + kind + " value" + key
	}
	if e.Msg == "attempt to call a non-function object" {
		names := callsOn(s.chunks[e.File], e.Line)
		slices.Sort(names)
		return fmt.Sprintf("attempt to call what is not a function: %s", strings.Join(slices.Compact(names), " or "))
	}
	return e.Msg
}

// callsOn are the names of what a line of the source calls.
func callsOn(proto *lua.FunctionProto, line int) []string {
	if proto == nil {
		return nil
	}
	var names []string
	for _, call := range proto.DbgCalls {
		if proto.DbgSourcePositions[call.Pc] == line {
			names = append(names, call.Name)
		}
	}
	for _, p := range proto.FunctionPrototypes {
		names = append(names, callsOn(p, line)...)
	}
	return names
}

// position splits the "file:line: " that gopher-lua puts before a message off it.
func (s *State) position(msg string) *Error {
	for name := range s.chunks {
		rest, ok := strings.CutPrefix(msg, name+":")
		if !ok {
			continue
		}
		number, text, ok := strings.Cut(rest, ": ")
		if line, err := strconv.Atoi(number); ok && err == nil {
			return &Error{File: name, Line: line, Msg: text}
		}
	}
	return &Error{Msg: msg}
}
