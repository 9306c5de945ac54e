package sandbox

import (
	"errors"
	"testing"
	"testing/fstest"
	"time"
)

// FuzzRun runs any source with small budgets. It must end in time, with an
// *Error or none, and leave the sandbox usable.
func FuzzRun(f *testing.F) {
	for _, source := range []string{
		"local t = {1, 2, x = 3} for k, v in pairs(t) do print(k .. v) end",
		"local function f(n) if n > 0 then return f(n - 1) end error {n} end f(100)",
		"print(pcall(string.rep, 'x', 1e9), ('a,b'):gsub('%w', {a = 1}))",
		"local a, b = 1, 2 a, b = b, a and b t = a",
		"local t = setmetatable({}, {__index = table, __concat = rawget}) print(t .. t, t.sort)",
		"while true do local s = ('x'):rep(1e5):find('.-.-.-y') or break end",
		"for w in ('one two'):gmatch('(%a)(%a*)') do print(w) end goto done ::done::",
		"xpcall(function() local x = nil + 1 end, function(e) error(e) end)",
		"local t = {} t[1e6], t[65535], t[0/0] = 1, 2, 3 table.sort(t, rawequal)",
		"return ('%5.2f %q %s %c'):format(1/0, 'a\\n', {}, 65), select(-1, unpack({}, 1, 7999))",
		"local m = require 'm' return m.x.y.z, _G.print, string.fidn, #m",
		"local function v(...) local a, b = ..., (...) return arg, {...}, v(...) end v(v)",
		"repeat local x = x or 1 until not false and (x or nil) == '1' .. 2",
		"if nil then elseif 0x10 then break else while 1e3 do return end end",
	} {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		files := fstest.MapFS{
			"policy.lua": {Data: []byte(source)},
			"m.lua":      {Data: []byte("return {x = 1}")},
			"ok.lua":     {Data: []byte("return 1")},
		}
		s := New(Config{
			Files: files, Print: func(string) {},
			LoadBudget: 100_000, LoadDeadline: time.Second, HeapLimit: 2 << 30,
		})
		defer s.Close()
		start := time.Now()
		err := s.Run("policy.lua")
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("not an Error: %v", err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		if err := s.Run("ok.lua"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}
