package sandbox

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

const maxTrace = 20 // lines of a traceback

// caught handles an error that pcall catches. PCall makes a traceback of its own
// when it has no handler, with one line for every tail call that there ever was:
// gigabytes for a function that calls itself.
func (s *State) caught(L *lua.LState) int {
	closeUpvalues(L)
	L.SetTop(1)
	return 1
}

// raisedOn makes an error of what a stack panicked with, and remembers where that
// was. Closures of that stack may live on: their variables stay in it.
func (s *State) raisedOn(st *lua.LState, cause any) error {
	s.remember(st)
	if api, ok := cause.(*lua.ApiError); ok {
		return api
	}
	return &lua.ApiError{Type: lua.ApiErrorPanic, Object: lua.LString(fmt.Sprint(cause))}
}

func (s *State) remember(st *lua.LState) {
	defer func() { _ = recover() }() // a stack on which gopher-lua itself failed may be in any state
	s.trace = s.traceback(st)
	s.traceFile, s.traceLine = s.Where(0)
}

// closeUpvalues gives the closures that outlive a failed call their variables.
// gopher-lua does it where an error is raised, but not with a handler set, and
// not for a panic of Go.
func closeUpvalues(L *lua.LState) {
	defer func() { _ = recover() }() // the error that was raised for its side effect
	L.Error(lua.LNil, 0)
}

// traceback lists the active functions, innermost first. It ends where tail
// calls have taken the place of the callers.
func (s *State) traceback(L *lua.LState) string {
	var b strings.Builder
	for level := range maxTrace {
		frame, ok := L.GetStack(level)
		if !ok {
			break
		}
		if _, err := L.GetInfo("nSl", frame, lua.LNil); err != nil {
			break
		}
		if isOperator(frame.Name) {
			continue
		}
		if frame.Source != "" {
			fmt.Fprintf(&b, "%s:%d: ", frame.Source, frame.CurrentLine)
		}
		if frame.What == "main" {
			b.WriteString(s.outermost() + "\n")
			break
		}
		fmt.Fprintf(&b, "in %s\n", frame.Name)
	}
	return b.String()
}

// outermost says what the first function of a stack is.
func (s *State) outermost() string {
	if len(s.loading) > 0 {
		return "in the file"
	}
	return "in the handler"
}

func isOperator(name string) bool { return name == opConcat || name == opAssign || name == opKey }
