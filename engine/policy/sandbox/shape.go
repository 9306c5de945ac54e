package sandbox

import "github.com/yuin/gopher-lua/ast"

// Shape is what is known of a value before anything runs. By it, a name that is
// misspelt is found also in a function that nobody has called yet.
type Shape struct {
	Members map[string]*Shape        // what the value's names stand for, nil where nothing is known of that; nil where its names are not known
	Unknown func(name string) string // the mistake of using any other name; needed with Members
	Returns *Shape                   // what the value returns when it is called; may be nil
	Handler *Shape                   // the first parameter of functions among its arguments, or in a table that is one; may be nil
}

// Describe says what is known of a provided module.
func (s *State) Describe(module string, shape *Shape) { s.shapes[module] = shape }

// Misspelt are the names of described values that do not exist, in the files read so far.
func (s *State) Misspelt() []*Error { return s.misspelt }

// know notes what is known of a local of the innermost block.
func (c *checker) know(name string, shape *Shape) {
	if c.scope.shapes == nil {
		c.scope.shapes = map[string]*Shape{}
	}
	c.scope.shapes[name] = shape
}

// forget notes that a local may be anything from here on.
func (c *checker) forget(name string) {
	if s := c.declaring(name); s != nil {
		delete(s.shapes, name)
	}
}

// shapeOf is what is known of an expression, nil where nothing is.
func (c *checker) shapeOf(expr ast.Expr) *Shape {
	switch ex := expr.(type) {
	case *ast.IdentExpr:
		if s := c.declaring(ex.Value); s != nil {
			return s.shapes[ex.Value]
		}
	case *ast.AttrGetExpr:
		key, ok := ex.Key.(*ast.StringExpr)
		if object := c.shapeOf(ex.Object); ok && object != nil {
			return object.Members[key.Value]
		}
	case *ast.FuncCallExpr:
		if name, ok := required(ex); ok && c.declaring("require") == nil {
			return c.shapes[name]
		}
		if called := c.shapeOf(ex.Func); called != nil {
			return called.Returns
		}
	}
	return nil
}

// required is the module that a call asks for.
func required(call *ast.FuncCallExpr) (module string, ok bool) {
	f, ok := call.Func.(*ast.IdentExpr)
	if !ok || f.Value != "require" || len(call.Args) != 1 {
		return "", false
	}
	name, ok := call.Args[0].(*ast.StringExpr)
	if !ok {
		return "", false
	}
	return name.Value, true
}

// member reports a name that its object does not have.
func (c *checker) member(object ast.Expr, name string, at ast.PositionHolder) {
	shape := c.shapeOf(object)
	if shape == nil || shape.Members == nil {
		return
	}
	if _, ok := shape.Members[name]; !ok {
		c.misspelt = append(c.misspelt, &Error{File: c.file, Line: at.Line(), Msg: shape.Unknown(name)})
	}
}

// handlers notes what the functions among a call's arguments will be called with.
func (c *checker) handlers(call *ast.FuncCallExpr) {
	called := c.shapeOf(call.Func)
	if called == nil || called.Handler == nil {
		return
	}
	for _, arg := range call.Args {
		c.handler(arg, called.Handler)
		if t, ok := arg.(*ast.TableExpr); ok {
			for _, f := range t.Fields {
				c.handler(f.Value, called.Handler)
			}
		}
	}
}

func (c *checker) handler(expr ast.Expr, gets *Shape) {
	if fn, ok := expr.(*ast.FunctionExpr); ok {
		c.gets[fn] = gets
	}
}
