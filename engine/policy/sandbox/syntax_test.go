package sandbox

import (
	"strings"
	"testing"
	"unicode/utf16"
)

// TestSyntaxHints: what other languages write otherwise, and what is forgotten, is told at its place.
func TestSyntaxHints(t *testing.T) {
	for source, want := range map[string]string{
		"if x != 3 then end":                 `:1:6: Invalid token near "!": Lua writes "~=" for "is not equal"`,
		"if !x then end":                     `:1:4: Invalid token near "!": Lua writes "not"`,
		"if a && b then end":                 `:1:6: Invalid token near "&": Lua writes "and"`,
		"if a || b then end":                 `:1:6: Invalid token near "|": Lua writes "or"`,
		"// comment":                         `:1:1: syntax error near "/": a comment begins with --`,
		"local a = 1 // c":                   `:1:14: syntax error near "/": a comment begins with --`,
		"/* c */":                            `:1:1: syntax error near "/": a comment begins with --`,
		"local n = 1\nn += 1":                `:2:3: syntax error near "+": Lua writes n = n + 1`,
		"local n = 1\nn++":                   `:2:2: syntax error near "+": Lua writes n = n + 1`,
		"local n = 1\nn -= 1":                `:2:3: syntax error near "-": Lua writes n = n - 1`,
		"if x = 3 then end":                  `:1:6: syntax error near "=": "==" compares`,
		"if x == 3 then y = = 3 end":         `:1:20: syntax error near "="`,
		`local t = { "a", tcp = 80 accept }`: `:1:27: syntax error near "accept": is a comma missing before it?`,
		"local t = { -- {\n 1\n 2 }":         `:3:2: syntax error near "2": is a comma missing before it?`,
		"local t = {\nend":                   `:2:1: syntax error near "end": is a } missing before it?`,
		`local t = { "tcp" = 80 }`:           `:1:19: syntax error near "=": a field is written name = value, without quotes`,
		`local t = { tcp: 80 }`:              `:1:18: syntax error near "80": a field is written name = value`,
		"local t = { [80, 443] }":            `:1:16: syntax error near ","`,
		"local t = { tcp = [80, 443] }":      `:1:19: syntax error near "[": a list is written { 80, 443 }`,
		`input("a", tcp = 80)`:               `:1:16: syntax error near "=": fields stand in braces, { name = value }`,
		"function f() { return 1 }":          `:1:14: syntax error near "{": a block has no braces, and ends with end`,
		"local guest-net = 1":                `:1:12: syntax error near "-": a name consists of letters, digits and "_"`,
		"local t = {1}\nif oops oops":        `:2:9: syntax error near "oops"`,
		"local t = {":                        `:1: syntax error at the end of the file: is an end, a } or a ) missing?`,
	} {
		err := run(t, Config{}, source)
		if err == nil || err.Error() != "policy.lua"+want {
			t.Errorf("%s:\ngot  %v\nwant policy.lua%s", source, err, want)
		}
	}
}

// TestEncodings: an editor that marks UTF-8 does no harm, and one that writes UTF-16 is told of.
func TestEncodings(t *testing.T) {
	if err := run(t, Config{}, "\ufefflocal x = 1\r\n"); err != nil {
		t.Error(err)
	}
	var b strings.Builder
	for _, u := range utf16.Encode([]rune("\ufefflocal x = 1")) {
		b.Write([]byte{byte(u), byte(u >> 8)})
	}
	if err := run(t, Config{}, b.String()); err == nil || err.Error() != "policy.lua:1: the file is in UTF-16: save it as UTF-8" {
		t.Error(err)
	}
}
