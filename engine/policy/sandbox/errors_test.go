package sandbox

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		source string
		want   Error
	}{
		{"\nlocal x = = 1", Error{Line: 2, Column: 11, Msg: `syntax error near "="`}},
		{"if x then", Error{Line: 1, Msg: "syntax error at the end of the file: is an end, a } or a ) missing?"}},
		{"local t = {\n1,\n2", Error{Line: 3, Msg: "syntax error at the end of the file: is an end, a } or a ) missing?"}},
		{"local s = 'abc", Error{Line: 1, Msg: "unterminated string at the end of the file"}},
		{"local s = 'abc\n", Error{Line: 1, Msg: `unterminated string near "abc"`}},
		{"local s = [[abc", Error{Line: 1, Msg: "unterminated multiline string at the end of the file"}},
		{"x = = 1 \x00", Error{Line: 1, Column: 5, Msg: `syntax error near "="`}},
		{"break", Error{Line: 1, Msg: "no loop to break"}},
		{"\ngoto nowhere", Error{Line: 3, Msg: "no visible label 'nowhere' for <goto> at line 2"}},
		{"\n\nerror 'no'", Error{Line: 3, Msg: "no", Traceback: "in error\npolicy.lua:3: in the file\n"}},
		{"error('no', 0)", Error{Line: 1, Msg: "no", Traceback: "in error\npolicy.lua:1: in the file\n"}},
		{"local function f()\nerror('no', 2) end\n\nf()", Error{Line: 4, Msg: "no", Traceback: "in error\npolicy.lua:2: in f\npolicy.lua:4: in the file\n"}},
		{"\nerror {code = 5, 'x'}", Error{Line: 2, Msg: `{"x", code = 5}`, Traceback: "in error\npolicy.lua:2: in the file\n"}},
		{"error {msg = 'broken', code = 1}", Error{Line: 1, Msg: `broken {msg = "broken", code = 1}`, Traceback: "in error\npolicy.lua:1: in the file\n"}},
		{"error(nil)", Error{Line: 1, Msg: "nil", Traceback: "in error\npolicy.lua:1: in the file\n"}},
		{"local x\n\nreturn x.bar", Error{Line: 3, Msg: "attempt to index a nil value with key 'bar'", Traceback: "policy.lua:3: in the file\n"}},
		{"local x\nx[1] = 2", Error{Line: 2, Msg: "attempt to index a nil value with key '1'", Traceback: "policy.lua:2: in the file\n"}},
		{"local t = {}\nt.run()", Error{Line: 2, Msg: "attempt to call what is not a function: run", Traceback: "policy.lua:2: in the file\n"}},
		{"local t = {}\nt:run()", Error{Line: 2, Msg: "attempt to call what is not a function: run", Traceback: "policy.lua:2: in the file\n"}},
		{"local x = 'a' .. {}", Error{Line: 1, Msg: "attempt to concatenate a string and a table", Traceback: "policy.lua:1: in the file\n"}},
		{"local x = 1 + {}", Error{Line: 1, Msg: "cannot perform add operation between number and table", Traceback: "policy.lua:1: in the file\n"}},
		{"local x = {} < {}", Error{Line: 1, Msg: "attempt to compare table with table", Traceback: "policy.lua:1: in the file\n"}},
		{"assert(false)", Error{Line: 1, Msg: "assertion failed!", Traceback: "in assert\npolicy.lua:1: in the file\n"}},
		{"assert(nil, 'no list')", Error{Line: 1, Msg: "no list", Traceback: "in assert\npolicy.lua:1: in the file\n"}},
		{"local x = setmetatable({}, {__index = function(t, k) error('no ' .. k) end})\nreturn x.y", Error{Line: 1, Msg: "no y",
			Traceback: "in error\npolicy.lua:1: in <policy.lua:1>\npolicy.lua:2: in the file\n"}},
	} {
		tc.want.File = "policy.lua"
		err := run(t, Config{}, tc.source)
		var got *Error
		if !errors.As(err, &got) {
			t.Errorf("%s: got %v", tc.source, err)
			continue
		}
		got.cause = nil
		if diff := cmp.Diff(&tc.want, got, cmp.AllowUnexported(Error{})); diff != "" {
			t.Errorf("%s: -want +got\n%s", tc.source, diff)
		}
	}
}

func TestErrorText(t *testing.T) {
	for want, e := range map[string]*Error{
		"web.lua:12:3: msg": {File: "web.lua", Line: 12, Column: 3, Msg: "msg"},
		"web.lua:12: msg":   {File: "web.lua", Line: 12, Msg: "msg"},
		"web.lua: msg":      {File: "web.lua", Msg: "msg"},
		"msg":               {Msg: "msg"},
	} {
		if e.Error() != want {
			t.Errorf("got %q, want %q", e.Error(), want)
		}
	}
}

// Errors of a handler say where they are, like those of a load.
func TestErrorOfHandler(t *testing.T) {
	s, fn := load(t, Config{}, "return function(x)\nlocal function g() error('no') end\ng()\nend")
	_, err := s.Call(fn, 0)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	want := "policy.lua:2: no in error policy.lua:2: in g policy.lua:3: in the handler"
	if got := e.Error() + " " + strings.TrimSpace(strings.ReplaceAll(e.Traceback, "\n", " ")); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An error value of any shape becomes one short line.
func TestDescribe(t *testing.T) {
	for source, want := range map[string]string{
		"error {1, 2, {3, {4, {5}}}}":                            "{1, 2, {3, {...}}}",
		"local t = {} t.t = t error(t)":                          "{t = {t = {...}}}",
		"error {f = print, [true] = 1.5}":                        "{f = function, [true] = 1.5}",
		"error(print)":                                           "function",
		"error(true)":                                            "true",
		"local t = {} for i = 1, 1e5 do t[i] = i end error(t)":   "{1, 2, 3, 4",
		"error {('x'):rep(1e6)}":                                 `{"xxx`,
		"local t = {} for i = 1, 1e4 do t = {t, t} end error(t)": "{{{...}, {...}}, {{...}, {...}}}",
		"error {('\\0'):rep(1e6)}":                               `{"\x00\x00`,
		"error {a = \"new\\nline\"}":                             `{a = "new\nline"}`,
	} {
		err := run(t, Config{}, source)
		wantError(t, source, err, "policy.lua:1: "+want)
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("%s: %d bytes", source, len(err.Error()))
		}
	}
}

// An endless tail call leaves no trace of a million lines.
func TestTracebackIsShort(t *testing.T) {
	for _, source := range []string{
		"local function f() return f() end f()",
		"local function f(n) if n == 0 then error 'no' end return f(n - 1) end f(1e5)",
		"local function f(n) if n == 0 then error 'no' end f(n - 1) end f(200)",
	} {
		err := run(t, Config{LoadBudget: 1_000_000}, source)
		var e *Error
		if !errors.As(err, &e) || strings.Count(e.Traceback, "\n") > maxTrace || e.Traceback == "" {
			t.Errorf("%s: %+v", source, err)
		}
	}
}
