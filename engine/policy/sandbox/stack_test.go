package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	lua "github.com/yuin/gopher-lua"
)

func number(n float64) lua.LValue { return lua.LNumber(n) }

func TestProtectedCalls(t *testing.T) {
	for source, want := range map[string]string{
		"print(pcall(function(...) return ... end, 1, nil, 3))":                        "true\t1\tnil\t3",
		"print(pcall(function() end))":                                                 "true",
		"print(pcall(error, 'x', 0))":                                                  "false\tx",
		"print(pcall(error))":                                                          "false\tbad argument #1 to ? (value expected)",
		"print(pcall(function() error('x') end))":                                      "false\tpolicy.lua:1: x",
		"local t = {} print(select(2, pcall(error, t)) == t)":                          "true",
		"print((pcall(nil)))":                                                          "false",
		"print(pcall(pcall, error, 'x'))":                                              "true\tfalse\tx",
		"print(xpcall(function() return 1, 2 end, print))":                             "true\t1\t2",
		"print(xpcall(function() error('x', 0) end, function(e) return e .. '!' end))": "false\tx!",
		"print((xpcall(error, error)))":                                                "false",
		"local function f() f() end print((pcall(f)))":                                 "false",
		"local function f() return pcall(f) end print(f())":                            "true\tfalse\tpolicy.lua:1: pcall nested too deeply (more than 50 levels)",
		// A closure that outlives a failed call keeps its variable.
		"local get pcall(function() local x = 5 get = function() return x end error('x') end) print(get())": "5",
	} {
		got := eval(t, source)
		if source == "local function f() return pcall(f) end print(f())" {
			got = got[max(0, len(got)-len(want)):]
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}

// moduleState has a module "m" with functions that call back, panic and tell
// where they were called.
func moduleState(t *testing.T, source string) (*State, *[]any) {
	t.Helper()
	s := New(Config{Files: fstest.MapFS{"policy.lua": {Data: []byte(source)}}})
	t.Cleanup(s.Close)
	var log []any
	m := s.L().NewTable()
	s.L().SetFuncs(m, map[string]lua.LGFunction{
		"call": func(L *lua.LState) int {
			ret, err := s.Call(L.CheckFunction(1), lua.MultRet, number(1))
			log = append(log, len(ret), err != nil)
			return 0
		},
		"panic": func(L *lua.LState) int {
			var none []int
			return none[L.CheckInt(1)]
		},
		"where": func(L *lua.LState) int {
			for level := range 4 {
				file, line := s.Where(level)
				log = append(log, file, line)
			}
			return 0
		},
	})
	s.Provide("m", s.Seal("m", m))
	return s, &log
}

func TestNestedCall(t *testing.T) {
	s, log := moduleState(t, `
		local m = require "m"
		local n = 0
		m.call(function(x) n = n + x return n, "more" end)
		m.call(function() error "x" end)
		m.call(function(x) n = n + x end)
		if n ~= 2 then error("n is " .. n) end
		m.call(function() while true do end end)`)
	s.cfg.LoadBudget = 1_000_000
	err := s.Run("policy.lua")
	if !errors.Is(err, ErrBudget) { // the inner call spends the outer budget
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]any{2, false, 0, true, 0, false, 0, true}, *log); diff != "" {
		t.Error(diff)
	}
}

// A call inside a load has the budget of the load, not the smaller one of a call.
func TestNestedCallKeepsBudget(t *testing.T) {
	s, log := moduleState(t, `require "m".call(function() for i = 1, 1e5 do end end)`)
	s.cfg.CallBudget = 100
	if err := s.Run("policy.lua"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]any{0, false}, *log); diff != "" {
		t.Error(diff)
	}
}

func TestNestedCallHasAnEnd(t *testing.T) {
	s, _ := moduleState(t, `local m = require "m" local function f() m.call(f) end f()`)
	if err := s.Run("policy.lua"); err != nil {
		t.Errorf("got %v", err) // the innermost call fails, and m.call goes on
	}
}

func TestPanicOfModule(t *testing.T) {
	s, _ := moduleState(t, "local m = require 'm'\n\nlocal function f()\nm.panic(3)\nend\nf()")
	err := s.Run("policy.lua")
	wantError(t, "panic", err, "policy.lua:4: runtime error: index out of range [3] with length 0")
	if _, err := s.Load("more.lua", []byte("return 1")); err != nil {
		t.Error(err)
	}
	s, _ = moduleState(t, "local m = require 'm' local ok, e = pcall(m.panic, 3) error(e, 0)")
	wantError(t, "panic", s.Run("policy.lua"), "index out of range")
}

func TestWhere(t *testing.T) {
	s, log := moduleState(t, "local m = require 'm'\nlocal function f()\n\tm.where()\nend\nf()")
	if err := s.Run("policy.lua"); err != nil {
		t.Fatal(err)
	}
	p := "policy.lua"
	if diff := cmp.Diff([]any{p, 3, p, 3, p, 5, p, 5}, *log); diff != "" {
		t.Error(diff)
	}
	if file, line := s.Where(1); file != "" || line != 0 {
		t.Errorf("outside a call: %s:%d", file, line)
	}
	s, log = moduleState(t, "local m = require 'm'\npcall(m.where)\npcall(function() m.where() end)")
	if err := s.Run("policy.lua"); err != nil {
		t.Fatal(err)
	}
	if got := (*log)[8:]; !cmp.Equal([]any{p, 3, p, 3, p, 3, p, 3}, got) {
		t.Errorf("in pcall: %v", got)
	}
}

func TestStackOverflows(t *testing.T) {
	for source, want := range map[string]string{
		"local function f() f() end\nf()":                                                     "policy.lua:1: stack overflow",
		"local function f(...)\nreturn f(" + strings.Repeat("1, ", 100) + "...) end f()":      "registry overflow",
		"local function f(...) local a = f(1, ...) end f()":                                   "policy.lua:1: stack overflow",
		"local t = {} setmetatable(t, {__index = function(t, k) return t[k] end}) return t.x": "policy.lua:1: stack overflow",
		"local t = {} setmetatable(t, {__index = t}) return t.x":                              "policy.lua:1: too many recursions in gettable",
		"local t = {} setmetatable(t, {__tostring = tostring}) tostring(t)":                   "policy.lua:1: stack overflow",
	} {
		s := New(Config{Files: fstest.MapFS{"policy.lua": {Data: []byte(source)}, "ok.lua": {}}})
		defer s.Close()
		wantError(t, source, s.Run("policy.lua"), want)
		if err := s.Run("ok.lua"); err != nil {
			t.Errorf("%s: the state is unusable: %v", source, err)
		}
	}
}

// When a push fills the stack to its last slot there is no room for the handler
// of the error, and PCall panics itself.
func TestFullStack(t *testing.T) {
	const policy = `local u, v = {}, {}
		for i = 1, 7999 do u[i] = i end
		for i = 1, %d do v[i] = i end
		local function f(n, ...) if n == 0 then return (unpack(u)) end local x = f(n - 1, ...) return x end
		f(200, unpack(v))`
	overflows := 0
	for n := 604; n <= 620; n += 4 {
		s := New(Config{Files: fstest.MapFS{"policy.lua": file(fmt.Sprintf(policy, n)), "ok.lua": file("")}})
		defer s.Close()
		if err := s.Run("policy.lua"); err != nil {
			overflows++
			wantError(t, policy, err, "policy.lua:4: registry overflow")
		}
		if err := s.Run("ok.lua"); err != nil {
			t.Errorf("%d: the state is unusable: %v", n, err)
		}
	}
	if overflows == 0 {
		t.Error("no overflow")
	}
}

func TestCallResults(t *testing.T) {
	s, fn := load(t, Config{}, "return function(...) return ... end")
	for nret, want := range map[int][]lua.LValue{
		0:           nil,
		1:           {number(1)},
		3:           {number(1), lua.LString("x"), lua.LNil},
		lua.MultRet: {number(1), lua.LString("x")},
	} {
		got, err := s.Call(fn, nret, number(1), lua.LString("x"))
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b lua.LValue) bool { return a == b })); err != nil || diff != "" {
			t.Errorf("%d results: %v %s", nret, err, diff)
		}
	}
}

func TestCallAllocatesNothing(t *testing.T) {
	s, fn := load(t, Config{}, "return function(time, src, dst, sport, dport, ttl) return dport == 22 and ttl < 64 end")
	args := event()
	if n := testing.AllocsPerRun(1000, func() { s.Call(fn, 0, args...) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
