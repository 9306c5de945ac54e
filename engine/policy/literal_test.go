package policy

import (
	"strings"
	"testing"
	"testing/fstest"
)

// Where the source does not tell for certain which table a call got, nothing
// may be concluded from it: each of these policies is right.
func TestNoLiteralIsMistaken(t *testing.T) {
	for _, source := range []string{
		`for _, r in ipairs({ { "a", accept }, { "b", accept }, { "c", accept } }) do input(r) end`,
		`local r = { "r", accept }; input(r); input { "s", "tcp dport 1", "tcp sport 2", accept }`,
		`input({ "a", tcp = 80, accept }) input { "b", tcp = 81, src = admins, accept }`,
		`local function f(t) t.src = nil; return t end; input(f { "a", src = "192.0.2.1", tcp = 80, accept })`,
		`input { "a", tcp = 80, unpack { "tcp sport 1", "tcp sport 2", accept } }`,
		`local nothing = function() end; input { "a", tcp = 80, nothing() }`,
		`local rules = { input = input }; rules.input { "a", accept }; rules["input"] { "b", accept }`,
		`local t = { "a", accept, nil }; input(t)`,
		`return input { "a", accept }`,
		`local add = function(...) return input(...) end; add { "a", tcp = 80, accept }`,
		`fw.protect {}; fw.set "empty" {}; fw.set "none" { unpack {} }`,
	} {
		p, err := Load(fstest.MapFS{"policy.lua": {Data: []byte(prelude + source)}}, "policy.lua", Env{})
		if err != nil {
			t.Errorf("%s\n%v", source, err)
			continue
		}
		p.Close()
	}
}

// Where it does tell, a nil is found wherever the call stands.
func TestLiteralsAreFound(t *testing.T) {
	for _, source := range []string{
		`input { "a", src = none.x, accept }`,
		`input({ "a", src = none.x, accept })`,
		`do local f = function() return input { "a", src = none.x, accept } end; f() end`,
		`for i = 1, 2 do input { "a" .. i, src = none.x, accept } end`,
		"local add = function(t) t.tcp = 80; input(t) end\ninput { \"a\", src = none.x, accept }",
		`for i = 1, 2 do input { "a" .. tostring(i), src = none.x, accept } end`,
		`input { "a", accept } input { "b", "tcp dport 1", src = none.x, accept }`,
		`local r = { add = input }; r.add { "a", src = none.x, accept }`,
		`fw.chain "x" { hook = none.x }`,
		`fw.set "x" { file = none.x }`,
		`fw.on(closed, { src = none.x }, function() end)`,
		`fw.detect "x" { on = closed, over = 1, within = "1m", except = none.x }`,
		`fw.watchdog { confirm = none.x }`,
		`fw.protect { none.x }`,
	} {
		p, err := Load(fstest.MapFS{"policy.lua": {Data: []byte(prelude + "local none = {}; " + source)}}, "policy.lua", Env{})
		if err == nil {
			p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "nil: a misspelt name?") {
			t.Errorf("%s: %v", source, err)
		}
	}
}
