package sandbox

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// Session holds names of its own over the sandbox's, for a console: what it assigns
// to stays in it, and nobody else sees it.
type Session struct{ names *lua.LTable }

// NewSession makes a Session that has the given names from the start.
func (s *State) NewSession(names map[string]lua.LValue) *Session {
	t := s.lua.NewTable()
	for name, v := range names {
		t.RawSetString(name, v)
	}
	t.Metatable = s.lua.NewTable()
	t.Metatable.(*lua.LTable).RawSetString("__index", s.lua.G.Global)
	return &Session{t}
}

// Get is a name's value as code of the session sees it, or nil.
func (e *Session) Get(s *State, name string) lua.LValue {
	if v := e.names.RawGetString(name); v != lua.LNil {
		return v
	}
	return s.lua.G.Global.RawGetString(name)
}

// Names lists what the session's code can name.
func (e *Session) Names(s *State) []string { return append(keys(e.names), keys(s.lua.G.Global)...) }

// LoadIn compiles an expression or statements in a session, without running it. The
// name is the file in errors. The error is an *Error.
func (s *State) LoadIn(e *Session, name, source string) (*lua.LFunction, error) {
	if expression, ended := parses("return " + source); expression || ended {
		source = "return " + source
	}
	fn, err := s.load(name, []byte(source), e.names)
	if err != nil {
		return nil, err
	}
	fn.Env = e.names
	return fn, nil
}

// Incomplete reports whether the source is the beginning of something.
func Incomplete(source string) bool {
	expression, expressionEnded := parses("return " + source)
	_, ended := parses(source)
	return !expression && (expressionEnded || ended)
}

// parses reports whether the source is right, or else whether it only ended too early.
func parses(source string) (right, ended bool) {
	_, err := parse.Parse(strings.NewReader(source), "")
	p, ok := err.(*parse.Error)
	return err == nil, ok && (p.Pos.Line == parse.EOF && !strings.Contains(p.Message, "unterminated string") || strings.Contains(p.Message, "unterminated multiline"))
}

// Unsealed is the table behind a sealed one, to be read; any other table is itself.
func (s *State) Unsealed(t *lua.LTable) *lua.LTable {
	if table, ok := s.sealed[t]; ok {
		return table
	}
	return t
}

// Provided is a module that was given to Provide.
func (s *State) Provided(name string) (lua.LValue, bool) {
	v, ok := s.provided[name]
	return v, ok
}
