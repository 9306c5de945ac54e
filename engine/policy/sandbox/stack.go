package sandbox

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

const (
	maxNested  = 50 // protected calls inside one another
	idleStacks = 4  // kept for reuse
)

// Every protected call runs on a stack of its own, because an error in
// gopher-lua v1.1.2 closes the upvalues of all functions on its stack: after an
// error that pcall caught on the same stack, the locals of the functions around
// it and the closures that share them would go separate ways. A stack on which
// gopher-lua itself failed is thrown away.

// stack is an empty stack that shares all values with the others.
func (s *State) stack() *lua.LState {
	if n := len(s.idle); n > 0 {
		st := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return st
	}
	st, cancel := s.lua.NewThread()
	st.SetContext(s.meter) // in place of a child of it, which would not count
	st.Panic = func(L *lua.LState) { panic(&lua.ApiError{Type: lua.ApiErrorRun, Object: L.Get(-1)}) }
	cancel()
	return st
}

// unprotected calls the function that was pushed on a stack with nargs arguments
// behind it, and leaves nret results there. It does without PCall, which costs a
// short handler as much as its arguments. So after an error the stack is left as
// it was, for the traceback, and of no more use.
func (s *State) unprotected(st *lua.LState, nargs, nret int) (err error) {
	outer, returned := s.current, false
	s.current = st
	s.nested++
	defer func() {
		if !returned {
			err = s.raisedOn(st, recover())
		}
		s.current = outer
		s.nested--
	}()
	st.Call(nargs, nret)
	returned = true
	return nil
}

// protected calls a pushed function for pcall, on a stack that is used again. An
// error passes through the handler.
func (s *State) protected(st *lua.LState, nargs, nret int, handler *lua.LFunction) (err error) {
	outer := s.current
	s.current = st
	s.nested++
	defer func() {
		s.current = outer
		s.nested--
		// PCall recovers every panic but its own: it has one when there is no
		// room for the handler.
		if r := recover(); r != nil {
			failure := &lua.ApiError{Type: lua.ApiErrorPanic, Object: lua.LString(fmt.Sprint(r))}
			if api, ok := r.(*lua.ApiError); ok {
				failure.Object = api.Object
			}
			err = failure
		}
	}()
	return st.PCall(nargs, nret, handler)
}

// done takes a stack back after a call.
func (s *State) done(st *lua.LState) {
	if len(s.idle) < idleStacks {
		if st.GetTop() > 0 {
			st.SetTop(0)
		}
		s.idle = append(s.idle, st)
	}
}

// try calls fn on a new stack for pcall, and pushes true and its results, or
// false and the error, on L.
func (s *State) try(L *lua.LState, fn lua.LValue, args ...lua.LValue) int {
	if s.nested >= maxNested {
		L.RaiseError("pcall nested too deeply (more than %d levels)", maxNested)
	}
	st := s.stack()
	st.Push(fn)
	for _, a := range args {
		st.Push(a)
	}
	err := s.protected(st, len(args), lua.MultRet, s.onCaught)
	if api, ok := err.(*lua.ApiError); !ok || api.Type != lua.ApiErrorPanic {
		defer s.done(st)
	}
	if err != nil {
		L.Push(lua.LFalse)
		L.Push(errorValue(err))
		return 2
	}
	n := st.GetTop()
	L.Push(lua.LTrue)
	for i := 1; i <= n; i++ {
		L.Push(st.Get(i))
	}
	return n + 1
}

func errorValue(err error) lua.LValue {
	api, ok := err.(*lua.ApiError)
	if !ok {
		return lua.LString(err.Error())
	}
	if msg, ok := api.Object.(lua.LString); ok {
		return lua.LString(tidy(string(msg)))
	}
	return api.Object
}

// tidy corrects what gopher-lua says of a function that Lua did not call: it has
// no position, and no name.
func tidy(msg string) string {
	msg = strings.TrimPrefix(msg, " ")
	return strings.Replace(msg, " to main chunk (", " to ? (", 1)
}

func (s *State) pcall(L *lua.LState) int {
	fn := L.CheckAny(1)
	args := make([]lua.LValue, L.GetTop()-1)
	for i := range args {
		args[i] = L.Get(i + 2)
	}
	return s.try(L, fn, args...)
}

// xpcall passes an error through a handler. An error of the handler is the
// result, like any other.
func (s *State) xpcall(L *lua.LState) int {
	fn, handler := L.CheckAny(1), L.CheckFunction(2)
	top := L.GetTop()
	n := s.try(L, fn)
	if L.Get(top+1) == lua.LTrue {
		return n
	}
	failure := L.Get(top + 2)
	n = s.try(L, handler, failure)
	L.Replace(top+3, lua.LFalse)
	return n
}
