package policy

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/yuin/gopher-lua/ast"
	"github.com/yuin/gopher-lua/parse"

	"moonlatch/engine/ruleset"
)

// notified finds the targets that the source gives to fw.notify as texts: a misspelt one would else show only when
// there is something to tell.
func (l *loader) notified() {
	files := l.state.Files()
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(file, ".lua") || !bytes.Contains(files[file], []byte("notify")) {
			continue
		}
		chunk, err := parse.Parse(bytes.NewReader(files[file]), file)
		if err != nil {
			continue // no part of the policy, which ran
		}
		names := notifyNames(chunk)
		walk(reflect.ValueOf(chunk), func(e *ast.FuncCallExpr) {
			if len(e.Args) == 0 || e.Func == nil || !names[dotted(e.Func)] {
				return
			}
			if target, ok := e.Args[0].(*ast.StringExpr); ok {
				l.targets = append(l.targets, &Target{Name: target.Value, Pos: ruleset.Pos{File: file, Line: e.Line()}})
			}
		})
	}
}

// notifyNames are the names by which a file calls fw.notify: those of its own locals.
func notifyNames(chunk []ast.Stmt) map[string]bool {
	names := map[string]bool{}
	for _, st := range chunk {
		locals, ok := st.(*ast.LocalAssignStmt)
		if !ok {
			continue
		}
		for i, value := range locals.Exprs[:min(len(locals.Exprs), len(locals.Names))] {
			switch call, ok := value.(*ast.FuncCallExpr); {
			case ok && dotted(call.Func) == "require" && len(call.Args) == 1 && isText(call.Args[0], "moonlatch"):
				names[locals.Names[i]+".notify"] = true
			case names[dotted(value)]:
				names[locals.Names[i]] = true
			}
		}
	}
	return names
}

func isText(e ast.Expr, text string) bool {
	s, ok := e.(*ast.StringExpr)
	return ok && s.Value == text
}

// dotted is a name such as "fw" or "fw.notify"; "" for any other expression.
func dotted(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.IdentExpr:
		return e.Value
	case *ast.AttrGetExpr:
		if key, ok := e.Key.(*ast.StringExpr); ok && dotted(e.Object) != "" {
			return dotted(e.Object) + "." + key.Value
		}
	}
	return ""
}
