package sandbox

import "github.com/yuin/gopher-lua/ast"

// gopher-lua v1.1.2 sends a jump backwards to the wrong place when it leads to
// another jump: it takes the distance that it has already written into that one
// for a label. So no loop body and no condition may start with a jump. Those
// that would are conditions that start with a constant, as in if false then,
// which are folded here, and break, which gets something in front of it.

// truth says whether an expression is a constant, and whether it counts as true.
func truth(e ast.Expr) (isTrue, isConstant bool) {
	switch e.(type) {
	case *ast.TrueExpr, *ast.NumberExpr, *ast.StringExpr:
		return true, true
	case *ast.FalseExpr, *ast.NilExpr:
		return false, true
	}
	return false, false
}

// foldLogical drops the operand of and, or that a constant on the left decides.
func foldLogical(ex *ast.LogicalOpExpr) ast.Expr {
	isTrue, constant := truth(ex.Lhs)
	if !constant {
		return ex
	}
	if isTrue == (ex.Operator == "or") {
		return ex.Lhs
	}
	single(ex.Rhs)
	return ex.Rhs
}

// foldNot matters where nots follow each other: the compiler takes them off in
// pairs, and what is left starts a condition.
func foldNot(ex *ast.UnaryNotOpExpr) ast.Expr {
	isTrue, constant := truth(ex.Expr)
	if !constant {
		return ex
	}
	var e ast.Expr = &ast.TrueExpr{}
	if isTrue {
		e = &ast.FalseExpr{}
	}
	copyLines(e, ex)
	return e
}

func foldIf(st *ast.IfStmt) ast.Stmt {
	isTrue, constant := truth(st.Condition)
	switch {
	case !constant:
		return st
	case isTrue:
		return doBlock(st, st.Then)
	}
	return doBlock(st, st.Else)
}

func foldWhile(st *ast.WhileStmt) ast.Stmt {
	if isTrue, constant := truth(st.Condition); constant && !isTrue {
		return doBlock(st, nil)
	}
	return st
}

// padBreak puts an instruction that does nothing of note in front of the jump.
func padBreak(st *ast.BreakStmt) ast.Stmt {
	pad := &ast.LocalAssignStmt{Names: []string{"(break)"}}
	copyLines(pad, st)
	return doBlock(st, []ast.Stmt{pad, st})
}

func doBlock(at ast.PositionHolder, stmts []ast.Stmt) ast.Stmt {
	do := &ast.DoBlockStmt{Stmts: stmts}
	copyLines(do, at)
	return do
}

func copyLines(to, from ast.PositionHolder) {
	to.SetLine(from.Line())
	to.SetLastLine(from.LastLine())
}
