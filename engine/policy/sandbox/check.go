package sandbox

import (
	"fmt"
	"slices"
	"strconv"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
)

const (
	maxSource    = 256 << 10 // bytes of a source file
	maxDepth     = 200       // levels of a syntax tree
	maxList      = 25_000    // items of a list written out; gopher-lua loses those over 25,550
	maxConstants = 26_000    // of one function; compiling takes time with their square
)

// checker walks the syntax tree of a file once, before it is compiled: it
// enforces the limits, resolves every name, and replaces the operators that
// have no bound of their own. It keeps the first error.
type checker struct {
	file    string
	globals *lua.LTable
	hint    func(name string) string
	session *lua.LTable // of a console; nil where no global can be defined
	depth   int
	scope   *scope
	err     *Error

	shapes   map[string]*Shape            // of modules
	gets     map[*ast.FunctionExpr]*Shape // what is known of the first parameter of functions
	misspelt []*Error
}

// scope holds the names of a block. The outermost one of a function also counts
// the constants.
type scope struct {
	outer     *scope
	names     []string
	constants map[string]bool   // nil in an inner block
	shapes    map[string]*Shape // what is known of the names; nil where nothing is
}

// check checks and rewrites the statements of a file.
func (s *State) check(file string, stmts []ast.Stmt, session *lua.LTable) error {
	c := &checker{
		file: file, globals: s.lua.G.Global, hint: s.cfg.Undefined, session: session,
		shapes: s.shapes, gets: map[*ast.FunctionExpr]*Shape{},
	}
	c.scope = &scope{constants: map[string]bool{}}
	c.stmts(stmts)
	if c.err != nil {
		return c.err
	}
	s.misspelt = append(s.misspelt, c.misspelt...)
	return nil
}

func (c *checker) fail(at ast.PositionHolder, format string, args ...any) {
	if c.err == nil {
		c.err = &Error{File: c.file, Line: at.Line(), Msg: fmt.Sprintf(format, args...)}
	}
}

// enter counts a level of the tree, and says whether to go on into it.
func (c *checker) enter(at ast.PositionHolder) bool {
	if c.depth++; c.depth > maxDepth {
		c.fail(at, "nested too deeply (more than %d levels)", maxDepth)
	}
	return c.err == nil
}

func (c *checker) leave() { c.depth-- }

func (c *checker) open() { c.scope = &scope{outer: c.scope} }

func (c *checker) close() { c.scope = c.scope.outer }

func (c *checker) declare(names ...string) {
	c.scope.names = append(c.scope.names, names...)
	for _, name := range names {
		delete(c.scope.shapes, name)
	}
}

// declareOutermost makes a name known from here on, as the global of a session that it is.
func (c *checker) declareOutermost(name string) {
	s := c.scope
	for s.outer != nil {
		s = s.outer
	}
	s.names = append(s.names, name)
}

func (c *checker) isLocal(name string) bool { return c.declaring(name) != nil }

// declaring is the innermost block that declares a name, or nil.
func (c *checker) declaring(name string) *scope {
	for s := c.scope; s != nil; s = s.outer {
		if slices.Contains(s.names, name) {
			return s
		}
	}
	return nil
}

// resolve reports a name that is neither a local nor a global.
func (c *checker) resolve(id *ast.IdentExpr) {
	if c.isLocal(id.Value) || c.globals.RawGetString(id.Value) != lua.LNil {
		return
	}
	known := keys(c.globals)
	if c.session != nil {
		if c.session.RawGetString(id.Value) != lua.LNil {
			return
		}
		known = append(known, keys(c.session)...)
	}
	for s := c.scope; s != nil; s = s.outer {
		known = append(known, s.names...)
	}
	if hint := c.hint(id.Value); hint != "" && c.session == nil {
		c.fail(id, "undefined name %q%s", id.Value, hint)
		return
	}
	c.fail(id, "%s", undefined(id.Value, known))
}

// constant counts a constant of the current function.
func (c *checker) constant(at ast.PositionHolder, value string) {
	s := c.scope
	for s.constants == nil {
		s = s.outer
	}
	s.constants[value] = true
	if len(s.constants) > maxConstants {
		c.fail(at, "more than %d different strings and numbers in one function; keep long lists in a file and name it with file =", maxConstants)
	}
}

// number refuses what gopher-lua would read as nan or, silently, as octal. Its
// scanner has dropped the first leading zero already.
func (c *checker) number(n *ast.NumberExpr) {
	c.constant(n, n.Value)
	if len(n.Value) > 1 && n.Value[0] == '0' && '0' <= n.Value[1] && n.Value[1] <= '9' {
		c.fail(n, "a number with leading zeros would be read as octal: %s", n.Value)
	}
	if _, err := strconv.ParseInt(n.Value, 0, 64); err != nil {
		if _, err := strconv.ParseFloat(n.Value, 64); err != nil {
			c.fail(n, "malformed number %s", n.Value)
		}
	}
}
