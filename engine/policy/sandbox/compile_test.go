package sandbox

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/yuin/gopher-lua/ast"
)

func list(n int, item string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, item, i)
	}
	return b.String()
}

func TestLimitsOfSource(t *testing.T) {
	for name, tc := range map[string]struct{ source, want string }{
		"size":           {strings.Repeat("-- comment\n", 30_000), "policy.lua: longer than 256 KiB"},
		"list":           {"\nlocal t = {" + strings.Repeat("1,", 25_001) + "}", "policy.lua:2: a list of 25001 items (at most 25000): keep it in a file and name it with file ="},
		"list in a call": {"\nprint{a = 1, {" + strings.Repeat("1,", 25_601) + "}}", "policy.lua:2: a list of 25601 items"},
		"constants":      {"local t = {" + list(20_000, "%d,") + "}\nlocal u = {" + list(20_000, "x%d=1,")[:100_000] + "1}", "policy.lua:2: more than 26000 different strings and numbers"},
		"unary":          {"return " + strings.Repeat("#", 100_000) + "_G", "policy.lua:1: nested too deeply"},
		"not":            {"return " + strings.Repeat("not ", 50_000) + "_G", "nested too deeply"},
		"minus":          {"return " + strings.Repeat("- ", 100_000) + "1", "nested too deeply"},
		"tables":         {"return " + strings.Repeat("{", 1000) + strings.Repeat("}", 1000), "nested too deeply"},
		"functions":      {strings.Repeat("return function() ", 1000) + strings.Repeat(" end", 1000), "nested too deeply"},
		"blocks":         {strings.Repeat("do ", 1000) + strings.Repeat(" end", 1000), "nested too deeply"},
		"elseif":         {"if _G then" + strings.Repeat(" elseif _G then", 10_000) + " end", "nested too deeply"},
		"sum":            {"return 1" + strings.Repeat("+1", 10_000), "nested too deeply"},
		"chain":          {"local t = {} return t" + strings.Repeat(".t", 10_000), "nested too deeply"},
		"calls":          {"return type" + strings.Repeat("()", 10_000), "nested too deeply"},
		"arguments":      {"return " + strings.Repeat("type(", 1000) + strings.Repeat(")", 1000), "nested too deeply"},
		"concat":         {"return 'x'" + strings.Repeat("..'x'", 10_000), "policy.lua: too many local variables in one function"},
		"locals":         {list(250, "local a%d "), "policy.lua: too many local variables in one function (at most about 200)"},
		"upvalues":       {list(150, "local a%d ") + "return function() " + list(150, "local b%d ") + "return function() return " + list(150, "a%d,") + list(149, "b%d,") + "b149 end end", "too many local variables"},
		"upvalues used":  {list(150, "local a%d ") + "return function() " + list(150, "local b%d ") + "return function() " + list(150, "a%d = 1 ") + list(150, "b%d = 1 ") + " end end", "function is too large: split it"},
		"jump":           {"local f repeat " + strings.Repeat("f()", 70_000) + " until f", "policy.lua: function is too large: split it"},
		"forward jump":   {"local f while f do " + strings.Repeat("f()", 70_000) + " end", "too long to jump"},
		"octal":          {"return 0010", "policy.lua:1: a number with leading zeros would be read as octal"},
		"huge hex":       {"return 0xFFFFFFFFFFFFFFFFFF", "policy.lua:1: malformed number 0xFFFFFFFFFFFFFFFFFF"},
		"exponent":       {"return 1e", "malformed number"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			wantError(t, name, run(t, Config{}, tc.source), tc.want)
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestSourcesWithinLimits(t *testing.T) {
	for source, want := range map[string]string{
		"local t = {" + strings.Repeat("7,", 25_000) + "} print(#t, t[25000])":                     "25000\t7",
		"print(" + strings.Repeat("(", 150) + "1" + strings.Repeat(")", 150) + ")":                 "1",
		"#!/usr/bin/moonlatch\nprint(1)":                                                           "1",
		"print(0, 0.5, 0x1F, 1e3, 10)":                                                             "0\t0.5\t31\t1000\t10",
		"local x = 5 goto done x = 6 ::done:: print(x)":                                            "5",
		"local s = 0 for i = 1, 3 do if i == 2 then goto next end s = s + i ::next:: end print(s)": "4",
	} {
		if got := eval(t, source); got != want {
			t.Errorf("%.60s: got %q, want %q", source, got, want)
		}
	}
}

// Programs that gopher-lua v1.1.2 compiles into something else. Each value is
// what Lua 5.1.5 prints.
func TestWhatGopherLuaCompilesWrong(t *testing.T) {
	for source, want := range map[string]string{
		"local a, b = 1, 2 a, b = b, a print(a, b)":                                                                       "2\t1",
		"local a, b = 1, 2 a, b = b, a + b print(a, b)":                                                                   "2\t3",
		"local t = {1, 2} t[1], t[2] = t[2], t[1] print(t[1], t[2])":                                                      "2\t1",
		"local i, t = 1, {} i, t[i] = i + 1, 20 print(i, t[1], t[2])":                                                     "2\t20\tnil",
		"local t, n = {}, 0 local function k() n = n + 1 return n end t[k()], t[k()] = k(), k() print(t[1], t[2])":        "3\t4",
		"local t = {} local x x, t.a, t.b = (function() return 1, 2, 3, 4 end)() print(x, t.a, t.b)":                      "1\t2\t3",
		"local t, b = {}, 2 b = t.k and 1 print(b)":                                                                       "nil",
		"local t, b = {}, 2 b = t.k and t.x or t.y print(b)":                                                              "nil",
		"local t, b = {}, 2 b = b and (t.x and 5) print(b)":                                                               "nil",
		"local function f(s) local t = 'kept' s = (s:gsub('a', 'b')) return s, t end print(f('aaa'))":                     "bbb\tkept",
		"local function f(s) local t = 'kept' s, t = tostring(s), 1 return s, t end print(f('aaa'))":                      "aaa\t1",
		"local function f(s) s = s .. 'x' .. s return s end print(f('a'))":                                                "axa",
		"for k in ipairs {1, 2} do while nil do print 'never' end print(k) end":                                           "1\n2",
		"for k in ipairs {1, 2} do if false then print 'never' end print(k) end":                                          "1\n2",
		"local n = 0 if n then n = n + 1 end for k in pairs {1, 2} do break end print(n)":                                 "1",
		"local n = 0 while true do local x = false and n n = n + 1 if n > 2 then break end end print(n)":                  "3",
		"local n = 0 while (nil and n) or n < 3 do n = n + 1 end print(n)":                                                "3",
		"local n = 0 repeat if not true then n = 100 end n = n + 1 until n > 2 print(n)":                                  "3",
		"local n = 0 if n then n = n + 1 end for k in pairs {1} do if not not nil then n = 9 end end print(n)":            "1",
		"if nil then print(1) elseif 0 then print(2) else print(3) end":                                                   "2",
		"local function f() return 1, 2 end print(#{true and f()}, #{nil or f()}, 1 and 2, false or nil, not nil, not 0)": "1\t1\t2\tnil\ttrue\tfalse",
		"local n = 0 local function inc() n = n + 1 end inc() pcall(error, 'x') inc() pcall(error, 'x') inc() print(n)":   "3",
		"local n = 0 local function inc() n = n + 1 end inc() xpcall(function() error 'x' end, print) inc() print(n)":     "policy.lua:1: x\n2",
	} {
		if got := eval(t, source); got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}

// The compiler of gopher-lua panics for a tree that it does not expect.
func TestCompilerPanics(t *testing.T) {
	_, err := compile("policy.lua", []ast.Stmt{&ast.ReturnStmt{Exprs: []ast.Expr{nil}}})
	wantError(t, "", err, "policy.lua: cannot be compiled: ")
}
