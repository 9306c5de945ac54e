package sandbox

import "github.com/yuin/gopher-lua/ast"

// stmts walks statements and puts their replacements in their places.
func (c *checker) stmts(list []ast.Stmt) {
	for i, stmt := range list {
		if c.enter(stmt) {
			list[i] = c.stmt(stmt)
		}
		c.leave()
	}
}

func (c *checker) block(list []ast.Stmt, names ...string) {
	c.open()
	c.declare(names...)
	c.stmts(list)
	c.close()
}

func (c *checker) stmt(stmt ast.Stmt) ast.Stmt {
	switch st := stmt.(type) {
	case *ast.AssignStmt:
		return c.assignment(st)
	case *ast.LocalAssignStmt:
		c.local(st)
	case *ast.FuncCallStmt:
		st.Expr = c.expr(st.Expr)
	case *ast.DoBlockStmt:
		c.block(st.Stmts)
	case *ast.WhileStmt:
		st.Condition = c.expr(st.Condition)
		c.block(st.Stmts)
		return foldWhile(st)
	case *ast.RepeatStmt:
		c.open() // the condition sees the locals of the body
		c.stmts(st.Stmts)
		st.Condition = c.expr(st.Condition)
		c.close()
	case *ast.IfStmt:
		st.Condition = c.expr(st.Condition)
		c.block(st.Then)
		c.block(st.Else)
		return foldIf(st)
	case *ast.NumberForStmt:
		st.Init, st.Limit = c.expr(st.Init), c.expr(st.Limit)
		if st.Step != nil {
			st.Step = c.expr(st.Step)
		}
		c.block(st.Stmts, st.Name)
	case *ast.GenericForStmt:
		c.exprs(st.Exprs)
		c.block(st.Stmts, st.Names...)
	case *ast.FuncDefStmt:
		c.definition(st)
	case *ast.ReturnStmt:
		c.exprs(st.Exprs)
	case *ast.BreakStmt:
		return padBreak(st)
	}
	return stmt
}

func (c *checker) assignment(st *ast.AssignStmt) ast.Stmt {
	for _, target := range st.Lhs {
		c.target(target)
	}
	c.exprs(st.Rhs)
	return guardAssignment(st)
}

// target walks what is assigned to.
func (c *checker) target(target ast.Expr) {
	switch t := target.(type) {
	case *ast.IdentExpr:
		switch {
		case c.isLocal(t.Value):
			c.forget(t.Value)
		case c.session != nil:
			c.declareOutermost(t.Value)
		default:
			c.fail(t, "%s", noGlobals(t.Value))
		}
	case *ast.AttrGetExpr:
		if id, ok := t.Object.(*ast.IdentExpr); ok {
			c.forget(id.Value) // it may have that name from here on
		}
		t.Object, t.Key = c.expr(t.Object), c.expr(t.Key)
	}
}

// local walks a declaration. A single function sees its own name, also where
// Lua would not let it: that is how gopher-lua compiles it.
func (c *checker) local(st *ast.LocalAssignStmt) {
	if len(st.Names) == 1 && len(st.Exprs) == 1 {
		if _, ok := st.Exprs[0].(*ast.FunctionExpr); ok {
			c.declare(st.Names...)
		}
	}
	shapes := make([]*Shape, min(len(st.Names), len(st.Exprs)))
	for i := range shapes {
		shapes[i] = c.shapeOf(st.Exprs[i])
	}
	c.exprs(st.Exprs)
	c.declare(st.Names...)
	for i, shape := range shapes {
		c.know(st.Names[i], shape)
	}
}

// definition walks function a.b.c() and function a:b().
func (c *checker) definition(st *ast.FuncDefStmt) {
	if st.Name.Func == nil {
		st.Name.Receiver = c.expr(st.Name.Receiver)
		c.function(st.Func, "self")
		return
	}
	if id, ok := st.Name.Func.(*ast.IdentExpr); ok && !c.isLocal(id.Value) && c.session == nil {
		c.fail(st, "cannot define the global function %q: use local function %s", id.Value, id.Value)
		return
	}
	c.target(st.Name.Func)
	c.function(st.Func)
}

func (c *checker) function(fn *ast.FunctionExpr, names ...string) {
	c.scope = &scope{outer: c.scope, constants: map[string]bool{}}
	c.declare(names...)
	c.declare(fn.ParList.Names...)
	if gets := c.gets[fn]; gets != nil && len(fn.ParList.Names) > 0 {
		c.know(fn.ParList.Names[0], gets)
	}
	if fn.ParList.HasVargs {
		c.declare("arg") // Lua 5.1 has it beside ...
	}
	c.stmts(fn.Stmts)
	c.close()
}

func (c *checker) exprs(list []ast.Expr) {
	for i, e := range list {
		list[i] = c.expr(e)
	}
}

// expr walks an expression and returns what stands in its place.
func (c *checker) expr(expr ast.Expr) ast.Expr {
	defer c.leave()
	if !c.enter(expr) {
		return expr
	}
	switch ex := expr.(type) {
	case *ast.NumberExpr:
		c.number(ex)
	case *ast.StringExpr:
		c.constant(ex, ex.Value)
	case *ast.IdentExpr:
		c.resolve(ex)
	case *ast.AttrGetExpr:
		if name, ok := ex.Key.(*ast.StringExpr); ok {
			c.member(ex.Object, name.Value, ex)
		}
		ex.Object, ex.Key = c.expr(ex.Object), c.expr(ex.Key)
	case *ast.TableExpr:
		c.table(ex)
	case *ast.FuncCallExpr:
		c.call(ex)
	case *ast.LogicalOpExpr:
		ex.Lhs, ex.Rhs = c.expr(ex.Lhs), c.expr(ex.Rhs)
		return foldLogical(ex)
	case *ast.RelationalOpExpr:
		ex.Lhs, ex.Rhs = c.expr(ex.Lhs), c.expr(ex.Rhs)
	case *ast.ArithmeticOpExpr:
		ex.Lhs, ex.Rhs = c.expr(ex.Lhs), c.expr(ex.Rhs)
	case *ast.StringConcatOpExpr:
		operands := flattenConcat(ex)
		c.exprs(operands)
		return guardConcat(ex, operands)
	case *ast.UnaryMinusOpExpr:
		ex.Expr = c.expr(ex.Expr)
	case *ast.UnaryNotOpExpr:
		ex.Expr = c.expr(ex.Expr)
		return foldNot(ex)
	case *ast.UnaryLenOpExpr:
		ex.Expr = c.expr(ex.Expr)
	case *ast.FunctionExpr:
		c.function(ex)
	}
	return expr
}

func (c *checker) call(ex *ast.FuncCallExpr) {
	if ex.Func != nil {
		c.handlers(ex)
		ex.Func = c.expr(ex.Func)
	} else {
		c.member(ex.Receiver, ex.Method, ex)
		ex.Receiver = c.expr(ex.Receiver)
		c.constant(ex, ex.Method)
	}
	c.exprs(ex.Args)
}

func (c *checker) table(ex *ast.TableExpr) {
	items := 0
	for _, f := range ex.Fields {
		if f.Key == nil {
			items++
		} else {
			f.Key = guardKey(c.expr(f.Key))
		}
		f.Value = c.expr(f.Value)
	}
	if items > maxList {
		c.fail(ex, "a list of %d items (at most %d): keep it in a file and name it with file =", items, maxList)
	}
}
