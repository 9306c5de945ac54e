package sandbox

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	lua "github.com/yuin/gopher-lua"
)

// Everything that a policy can reach by name. A new name is a decision.
func TestWhatIsThere(t *testing.T) {
	want := map[string]string{
		"": ".. [] []= _G _VERSION assert error getmetatable ipairs math next pairs pcall print rawequal" +
			" rawget rawset require select setmetatable string table tonumber tostring type unpack xpcall",
		"string": "byte char find format gmatch gsub len lower match rep reverse sub upper",
		"table":  "concat insert remove sort",
		"math": "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min" +
			" modf pi pow rad random randomseed sin sinh sqrt tan tanh",
	}
	s := New(Config{})
	defer s.Close()
	got := map[string]string{"": names(s.L().G.Global)}
	for _, name := range []string{"string", "table", "math"} {
		got[name] = names(s.sealed[s.L().G.Global.RawGetString(name).(*lua.LTable)])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func names(t *lua.LTable) string {
	list := keys(t)
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestRemovedNames(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(removed)) {
		want := "policy.lua:2: " + name + " is not available in a policy: "
		source := "\nlocal x = " + name
		wantError(t, source, run(t, Config{}, source), want)
		source = "\nlocal x = _G." + name
		wantError(t, source, run(t, Config{}, source), want)
	}
	wantError(t, "print", run(t, Config{}, "print(1)"), "policy.lua:1: print is not available in a policy: use fw.log.info")
}

func TestNames(t *testing.T) {
	for source, want := range map[string]string{
		"local drop = 1\nreturn drp":                        `policy.lua:2: undefined name "drp" (did you mean "drop"?)`,
		"local accept\nlocal function f() return acept end": `policy.lua:2: undefined name "acept" (did you mean "accept"?)`,
		"if false then\nx.y() end":                          `policy.lua:2: undefined name "x"`,
		"return striing.rep":                                `policy.lua:1: undefined name "striing" (did you mean "string"?)`,
		"do local inner end\nreturn inner":                  `policy.lua:2: undefined name "inner"`,
		"repeat local x = 1 until x\nreturn x":              `policy.lua:2: undefined name "x"`,
		"for i = 1, i do end":                               `policy.lua:1: undefined name "i"`,
		"for k in pairs(k) do end":                          `policy.lua:1: undefined name "k"`,
		"local x = x":                                       `policy.lua:1: undefined name "x"`,
		"local t = {}\nfunction t.f() return self end":      `policy.lua:2: undefined name "self"`,
		"return _G.drp":                                     `policy.lua:1: undefined name "drp"`,
		"return _G['tostrin']":                              `(did you mean "tostring"?)`,
		"return _G[1]":                                      `policy.lua:1: _G has no field 1`,
		"return string.fidn":                                `policy.lua:1: string has no field "fidn" (did you mean "find"?)`,
		"return ('x'):uper()":                               `policy.lua:1: string has no field "uper" (did you mean "upper"?)`,
		"return ('x').y.z":                                  `policy.lua:1: string has no field "y"`,
		"web = 1":                                           `policy.lua:1: cannot define the global "web": use local web`,
		"local a\na, web = 1, 2":                            `policy.lua:2: cannot define the global "web": use local web`,
		"\nfunction web() end":                              `policy.lua:2: cannot define the global function "web": use local function web`,
		"local function f() x = 1 end":                      `policy.lua:1: cannot define the global "x"`,
		"print = 1":                                         `policy.lua:1: cannot define the global "print"`,
		"_G.web = 1":                                        `policy.lua:1: cannot define the global "web": use local web`,
		"_G.print = nil":                                    `policy.lua:1: cannot define the global "print"`,
		"_G[{}] = nil":                                      `policy.lua:1: cannot define the global`,
		"string.find = nil":                                 `policy.lua:1: string is read-only: cannot set "find"`,
		"string.x = nil":                                    `policy.lua:1: string is read-only: cannot set "x"`,
		"rawset(_G, 'web', 1)":                              `policy.lua:1: cannot change a protected table`,
		"rawset(string, 'find', 1)":                         `policy.lua:1: cannot change a protected table`,
		"setmetatable(_G, {})":                              `policy.lua:1: cannot change a protected table`,
		"setmetatable(_G, nil)":                             `policy.lua:1: cannot change a protected table`,
		"table.insert(_G, 1)":                               `policy.lua:1: cannot change a protected table`,
		"table.insert(table, 1, 1)":                         `policy.lua:1: cannot change a protected table`,
		"table.remove(_G, 1)":                               `policy.lua:1: cannot change a protected table`,
		"table.sort(_G)":                                    `policy.lua:1: cannot change a protected table`,
		"for k, v in pairs(_G) do _G[k] = v end":            `policy.lua:1: cannot define the global`,
		"setmetatable('', {})":                              `bad argument #1 to setmetatable (table expected, got string)`,
		"setmetatable(1, {})":                               `table expected, got number`,
		"setmetatable(print, {})":                           `table expected, got function`,
		"setmetatable({}, {__mode = 'k'})":                  `weak tables (__mode) are not supported`,
		"getmetatable('').__index = nil":                    `attempt to index a boolean value`,
	} {
		wantError(t, source, run(t, Config{}, source), want)
	}
}

func TestNamesThatAreFine(t *testing.T) {
	for source, want := range map[string]string{
		"print(rawget(_G, 'drp'), type(rawget(_G, 'print')))":                                                    "nil\tfunction",
		"print(getmetatable(''), getmetatable(_G), getmetatable(string))":                                        "false\tfalse\tfalse",
		"local n = 0 for k in pairs(string) do n = n + 1 end print(n)":                                           "13",
		"local g = pairs local _, t = g(string) t.find = nil print(('abc'):find('b'))":                           "2\t2",
		"local function f() return f end print(f() == f)":                                                        "true",
		"local f = function() return f end print(f() == f)":                                                      "true",
		"local t = {} function t:m() return self == t end print(t:m())":                                          "true",
		"local function f(...) return arg and arg.n or select('#', ...) end print(f(1, 2))":                      "2",
		"repeat local done = true until done print(...)":                                                         "",
		"for i = 1, 1 do print(i) end for k, v in pairs {7} do print(k, v) end":                                  "1\n1\t7",
		"local t = setmetatable({}, {__index = function(_, k) return k end}) print(t.x, getmetatable(t) ~= nil)": "x\ttrue",
		"print(('x'):rep(3), #'abc', ('%d'):format(5))":                                                          "xxx\t3\t5",
		"print(_G._G == _G, _G.print == print, _VERSION)":                                                        "true\ttrue\tLua 5.1",
		"print(next({}), next({5}), rawequal(_G, _G), unpack({1, 2, 3}, 2))":                                     "nil\t1\ttrue\t2\t3",
	} {
		if got := eval(t, source); got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}

// The metatable of strings cannot be had by a detour through the library.
func TestStringsCannotBeHijacked(t *testing.T) {
	for _, source := range []string{
		"string.__index = function() return 1 end",
		"rawset(string, '__index', nil)",
		"local mt = getmetatable('') mt.__index = nil",
		"('').x = 1",
		"debug.setmetatable('', {})",
	} {
		if err := run(t, Config{}, source); err == nil {
			t.Errorf("%s: no error", source)
		}
	}
}

// Userdata keep their metatables to themselves.
func TestUserdata(t *testing.T) {
	s, fn := load(t, Config{}, "return function(u) return getmetatable(u), pcall(setmetatable, u, {}) end")
	u := s.L().NewUserData()
	u.Metatable = s.L().NewTable()
	ret, err := s.Call(fn, 2, u)
	if err != nil || ret[0] != lua.LFalse || ret[1] != lua.LFalse {
		t.Errorf("got %v, %v", ret, err)
	}
}
