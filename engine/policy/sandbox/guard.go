package sandbox

import (
	"fmt"

	"github.com/yuin/gopher-lua/ast"
)

// guarded is a call of one of the functions in operators.go.
func guarded(name string, at ast.PositionHolder, args ...ast.Expr) *ast.FuncCallExpr {
	fn := &ast.IdentExpr{Value: name}
	call := &ast.FuncCallExpr{Func: fn, Args: args}
	copyLines(fn, at)
	copyLines(call, at)
	call.AdjustRet = true
	single(args[len(args)-1])
	return call
}

// single cuts an expression to one value.
func single(e ast.Expr) {
	switch e := e.(type) {
	case *ast.FuncCallExpr:
		e.AdjustRet = true
	case *ast.Comma3Expr:
		e.AdjustRet = true
	}
}

// flattenConcat lists the operands of a .. b .. c.
func flattenConcat(ex *ast.StringConcatOpExpr) []ast.Expr {
	operands := []ast.Expr{ex.Lhs}
	for {
		next, ok := ex.Rhs.(*ast.StringConcatOpExpr)
		if !ok {
			return append(operands, ex.Rhs)
		}
		operands = append(operands, next.Lhs)
		ex = next
	}
}

func guardConcat(ex *ast.StringConcatOpExpr, operands []ast.Expr) ast.Expr {
	return guarded(opConcat, ex, operands...)
}

// guardKey guards the key of a table constructor.
func guardKey(key ast.Expr) ast.Expr {
	if isName(key) {
		return key
	}
	return guarded(opKey, key, key)
}

// isName says whether a key is a string that stands in the source: it can
// never be an index of an array.
func isName(key ast.Expr) bool {
	_, ok := key.(*ast.StringExpr)
	return ok
}

func isComputed(target ast.Expr) bool {
	t, ok := target.(*ast.AttrGetExpr)
	return ok && !isName(t.Key)
}

// guardAssignment replaces t[k] = v by a call. Any other assignment than of one
// plain value goes through locals of its own, because gopher-lua v1.1.2 compiles
// it wrong where the target is a local: x, y = y, x makes both the same (its
// issue 440), x = a and b leaves x alone when a is false, and when s is the last
// parameter, both s = (f(s)) and s, t = f(s), 1 load f into s first.
func guardAssignment(st *ast.AssignStmt) ast.Stmt {
	if len(st.Lhs) > 1 || len(st.Rhs) > 1 {
		return assignAll(st)
	}
	switch value := st.Rhs[0].(type) {
	case *ast.LogicalOpExpr:
		return assignAll(st)
	case *ast.FuncCallExpr:
		value.AdjustRet = false // a single target takes a single value anyway
	}
	return assign(st.Lhs[0], st.Rhs[0])
}

// assign assigns one value to one target.
func assign(target, value ast.Expr) ast.Stmt {
	if t, ok := target.(*ast.AttrGetExpr); ok && isComputed(t) {
		call := &ast.FuncCallStmt{Expr: guarded(opAssign, t, t.Object, t.Key, value)}
		copyLines(call, t)
		return call
	}
	st := &ast.AssignStmt{Lhs: []ast.Expr{target}, Rhs: []ast.Expr{value}}
	copyLines(st, target)
	return st
}

// assignAll turns a[i], b = x, y into
//
//	do local o1, k1 = a, i; local v1, v2 = x, y; b = v2; o1[k1] = v1 end
//
// so that all expressions still come before the first assignment.
func assignAll(st *ast.AssignStmt) ast.Stmt {
	places := &ast.LocalAssignStmt{}
	values := &ast.LocalAssignStmt{Exprs: st.Rhs}
	hide := func(to *ast.LocalAssignStmt, e ast.PositionHolder) *ast.IdentExpr {
		id := &ast.IdentExpr{Value: fmt.Sprintf("(%d)", len(places.Names)+len(values.Names))}
		copyLines(id, e)
		to.Names = append(to.Names, id.Value)
		return id
	}
	for _, target := range st.Lhs {
		if t, ok := target.(*ast.AttrGetExpr); ok {
			for _, e := range []*ast.Expr{&t.Object, &t.Key} {
				if isName(*e) {
					continue
				}
				single(*e)
				places.Exprs = append(places.Exprs, *e)
				*e = hide(places, *e)
			}
		}
	}
	body := []ast.Stmt{values}
	if len(places.Names) > 0 {
		body = []ast.Stmt{places, values}
	}
	var assigns []ast.Stmt
	for _, target := range st.Lhs {
		assigns = append([]ast.Stmt{assign(target, hide(values, target))}, assigns...)
	}
	copyLines(places, st)
	copyLines(values, st)
	return doBlock(st, append(body, assigns...))
}
