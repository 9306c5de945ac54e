package policy

import (
	"bytes"
	"reflect"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
	"github.com/yuin/gopher-lua/parse"

	"moonlatch/engine/ruleset"
)

// literal is a table as its author wrote it. A running policy cannot tell a
// field whose value is nil, most likely a misspelt name, from one that was never
// written: the field just is not there, and a rule without its src matches
// everybody. The source can tell. It also knows each line of a long table.
type literal struct {
	fields map[string]part
	items  []part
	open   bool // the last item is a call or "...": any number of values
}

type part struct {
	line  int
	table *literal // where the value is a table literal too
}

// literals finds the table literal of a call by the place and the name of what
// is called.
type literals struct {
	source func(file string) []byte
	files  map[string]map[int][]call // by file and line
}

// call is a call in the source that can hand over a table.
type call struct {
	name   string // as gopher-lua names what is called
	tables []*literal
}

// find returns the literal that t came from, or nil when that is not certain.
func (s *literals) find(pos ruleset.Pos, name string, t *lua.LTable) *literal {
	lines, ok := s.files[pos.File]
	if !ok {
		lines = scan(s.source(pos.File), pos.File)
		if s.files == nil {
			s.files = map[string]map[int][]call{}
		}
		s.files[pos.File] = lines
	}
	var found *literal
	for _, c := range lines[pos.Line] {
		if c.name != name {
			continue
		}
		if len(c.tables) == 0 {
			return nil // its table comes from elsewhere
		}
		for _, l := range c.tables {
			if !l.fits(t) {
				continue
			}
			if found != nil {
				return nil
			}
			found = l
		}
	}
	return found
}

// fits reports whether evaluating the literal can have given t.
func (l *literal) fits(t *lua.LTable) bool {
	if n := t.MaxN(); n > len(l.items) && !l.open {
		return false
	}
	for k := range pairs(t) {
		if name, ok := k.(lua.LString); ok {
			if _, ok := l.fields[string(name)]; !ok {
				return false
			}
		}
	}
	return true
}

// scan lists the calls that can hand over a table, by line.
func scan(source []byte, file string) map[int][]call {
	lines := map[int][]call{}
	chunk, err := parse.Parse(bytes.NewReader(source), file)
	if err != nil {
		return lines
	}
	walk(reflect.ValueOf(chunk), func(e *ast.FuncCallExpr) {
		c := call{name: calleeName(e)}
		opaque := false
		for _, arg := range e.Args {
			switch arg := arg.(type) {
			case *ast.TableExpr:
				c.tables = append(c.tables, newLiteral(arg))
			case *ast.StringExpr, *ast.NumberExpr, *ast.FunctionExpr:
			default:
				opaque = true
			}
		}
		if opaque || len(c.tables) > 0 {
			lines[e.Line()] = append(lines[e.Line()], c)
		}
	})
	return lines
}

// calleeName names what is called as gopher-lua does (getExprName in its compile.go).
func calleeName(e *ast.FuncCallExpr) string {
	switch f := e.Func.(type) {
	case nil:
		return e.Method
	case *ast.IdentExpr:
		return f.Value
	case *ast.AttrGetExpr:
		if key, ok := f.Key.(*ast.StringExpr); ok {
			return key.Value
		}
	}
	return "?"
}

func newLiteral(t *ast.TableExpr) *literal {
	l := &literal{fields: map[string]part{}}
	for i, f := range t.Fields {
		p := part{line: f.Value.Line()}
		if sub, ok := f.Value.(*ast.TableExpr); ok {
			p.table = newLiteral(sub)
		}
		if f.Key != nil {
			if key, ok := f.Key.(*ast.StringExpr); ok {
				l.fields[key.Value] = p
			}
			continue
		}
		if i == len(t.Fields)-1 && multiple(f.Value) {
			l.open = true
			continue
		}
		l.items = append(l.items, p)
	}
	return l
}

// multiple reports whether e can be any number of values.
func multiple(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.FuncCallExpr:
		return !e.AdjustRet
	case *ast.Comma3Expr:
		return !e.AdjustRet
	}
	return false
}

// walk visits every call below a syntax tree, whose depth the sandbox has bounded.
func walk(v reflect.Value, visit func(*ast.FuncCallExpr)) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return
		}
		if call, ok := v.Interface().(*ast.FuncCallExpr); ok && v.Kind() == reflect.Pointer {
			visit(call)
		}
		walk(v.Elem(), visit)
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			walk(v.Field(i), visit)
		}
	}
}
