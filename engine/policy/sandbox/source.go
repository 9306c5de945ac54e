package sandbox

import (
	"bytes"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// Load compiles a source text without running it. The name is the file in error
// messages. The error is an *Error.
func (s *State) Load(name string, source []byte) (*lua.LFunction, error) {
	s.chunks[name] = true
	chunk, err := parse.Parse(bytes.NewReader(source), name)
	if err != nil {
		return nil, syntaxError(name, err)
	}
	proto, err := lua.Compile(chunk, name)
	if err != nil {
		return nil, compileError(name, err)
	}
	return s.lua.NewFunctionFromProto(proto), nil
}

func syntaxError(name string, err error) *Error {
	e := &Error{File: name, Msg: err.Error()}
	if p, ok := err.(*parse.Error); ok {
		e.Line, e.Column, e.Msg = max(p.Pos.Line, 0), p.Pos.Column, p.Message
	}
	return e
}

func compileError(name string, err error) *Error {
	e := &Error{File: name, Msg: err.Error()}
	if c, ok := err.(*lua.CompileError); ok {
		e.Line, e.Msg = c.Line, c.Message
	}
	return e
}
