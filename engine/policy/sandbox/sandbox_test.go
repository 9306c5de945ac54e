package sandbox

import (
	"errors"
	"testing"
	"testing/fstest"

	lua "github.com/yuin/gopher-lua"
)

// run runs a policy of one file with small budgets.
func run(t testing.TB, source string) (*State, error) {
	t.Helper()
	s := New(Config{
		Files:      fstest.MapFS{"policy.lua": {Data: []byte(source)}},
		LoadBudget: 1_000_000,
	})
	t.Cleanup(s.Close)
	return s, s.Run("policy.lua")
}

func TestCallReturnsValues(t *testing.T) {
	s, err := run(t, `local m = require "m"; m.f = function(a, b) return a + b, "x" end`)
	if err == nil {
		t.Fatal("required a module that does not exist")
	}
	m := s.L().NewTable()
	s.Provide("m", m)
	if err := s.Run("policy.lua"); err != nil {
		t.Fatal(err)
	}
	ret, err := s.Call(m.RawGetString("f").(*lua.LFunction), lua.MultRet, lua.LNumber(1), lua.LNumber(2))
	if err != nil || len(ret) != 2 || ret[0] != lua.LNumber(3) || ret[1] != lua.LString("x") {
		t.Fatalf("got %v, %v", ret, err)
	}
}

func TestBudget(t *testing.T) {
	_, err := run(t, "\nwhile true do pcall(function() while true do end end) end")
	if !errors.Is(err, ErrBudget) {
		t.Fatalf("got %v", err)
	}
	var e *Error
	if !errors.As(err, &e) || e.File != "policy.lua" || e.Line != 2 {
		t.Fatalf("got %+v", e)
	}
}
