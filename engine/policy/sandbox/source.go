package sandbox

import (
	"bytes"
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
	"github.com/yuin/gopher-lua/parse"
)

// Load compiles a source text without running it. The name is the file in error
// messages. The error is an *Error.
func (s *State) Load(name string, source []byte) (*lua.LFunction, error) {
	return s.load(name, source, nil)
}

// load is Load of code that may, in a session, define names of its own.
func (s *State) load(name string, source []byte, session *lua.LTable) (*lua.LFunction, error) {
	s.chunks[name] = nil
	if len(source) > maxSource {
		return nil, &Error{File: name, Msg: fmt.Sprintf("longer than %d KiB; keep long lists in a file and name it with file =", maxSource>>10)}
	}
	source = bytes.TrimPrefix(source, []byte("\ufeff")) // some editors begin a file with it
	if bytes.HasPrefix(source, []byte("\xff\xfe")) || bytes.HasPrefix(source, []byte("\xfe\xff")) {
		return nil, &Error{File: name, Line: 1, Msg: "the file is in UTF-16: save it as UTF-8"}
	}
	if bytes.HasPrefix(source, []byte("#")) {
		source = append([]byte("--"), source...) // the line that names the interpreter
	}
	chunk, err := parse.Parse(bytes.NewReader(source), name)
	if err != nil {
		return nil, syntaxError(name, source, err)
	}
	if err := s.check(name, chunk, session); err != nil {
		return nil, err
	}
	proto, err := compile(name, chunk)
	if err != nil {
		return nil, err
	}
	s.chunks[name] = proto
	return s.lua.NewFunctionFromProto(proto), nil
}

// compile turns a panic of the compiler into an error: it has some for trees
// that it does not expect.
func compile(name string, chunk []ast.Stmt) (proto *lua.FunctionProto, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &Error{File: name, Msg: fmt.Sprintf("cannot be compiled: %v", r)}
		}
	}()
	proto, err = lua.Compile(chunk, name)
	if err != nil {
		return nil, compileError(name, err)
	}
	return proto, verify(proto)
}

// verify refuses code whose numbers did not fit into its instructions, which
// gopher-lua cuts off without a word.
func verify(proto *lua.FunctionProto) error {
	const maxJump, maxUpvalues = 1<<17 - 1, 1<<8 - 1
	if len(proto.Code) > maxJump || len(proto.DbgUpvalues) > maxUpvalues {
		return &Error{File: proto.SourceName, Line: proto.LineDefined, Msg: "function is too large: split it"}
	}
	for _, p := range proto.FunctionPrototypes {
		if err := verify(p); err != nil {
			return err
		}
	}
	return nil
}

func compileError(name string, err error) *Error {
	c, ok := err.(*lua.CompileError)
	if !ok {
		return &Error{File: name, Msg: err.Error()}
	}
	msg := c.Message
	if strings.Contains(msg, "too many local variables") {
		msg = "too many local variables in one function (at most about 200): put them into tables or functions"
	}
	return &Error{File: name, Line: c.Line, Msg: msg}
}
