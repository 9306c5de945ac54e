package sandbox

import (
	"strings"
	"testing"
)

// Expected values are those of Lua 5.1.5, except where a comment says otherwise.
func TestStringFunctions(t *testing.T) {
	for source, want := range map[string]string{
		`("hello"):byte(1, -1)`:                         "104 101 108 108 111",
		`("hello"):byte(10)`:                            "",
		`("hello"):byte(-1)`:                            "111",
		`string.char(72, 105)`:                          "Hi",
		`("hello"):sub(2, -2)`:                          "ell",
		`("hello"):sub(-100, 100)`:                      "hello",
		`("hello"):sub(4, 2)`:                           "",
		`("hello"):sub(2, math.huge)`:                   "ello", // Lua overflows
		`("Grüße"):upper()`:                             "GRüßE",
		`("ABC\255"):lower() == "abc\255"`:              "true",
		`("abc"):reverse()`:                             "cba",
		`("ab"):rep(3) .. ("x"):rep(-1)`:                "ababab",
		`("hello"):find("l")`:                           "3 3",
		`("hello"):find("xyz")`:                         "nil",
		`("hello"):find("l", -1)`:                       "nil",
		`("hello"):find("", 10)`:                        "6 5",
		`("a.b"):find(".", 2, true)`:                    "2 2",
		`("a+b"):find("+", 1, true)`:                    "2 2",
		`("key=val"):find("(%w+)=(%w+)")`:               "1 7 key val",
		`("key=val"):match("(%w+)=(%w+)")`:              "key val",
		`("key=val"):match("%w+", 5)`:                   "val",
		`("key=val"):match("()=()")`:                    "4 5",
		`("x"):match("y")`:                              "nil",
		`("hello"):gsub("l", "L")`:                      "heLLo 2",
		`("hello"):gsub("l", "L", 1)`:                   "heLlo 1",
		`("hello"):gsub("", "-")`:                       "-h-e-l-l-o- 6",
		`("hello"):gsub("(h)(e)", "%2%1%0%%")`:          "ehhe%llo 1",
		`("abc"):gsub("%w", "%0%0")`:                    "aabbcc 3",
		`("abc"):gsub("%w", {a = "1", b = true and 2})`: "12c 3",
		`("abc"):gsub("%w", function(c) if c == "b" then return "B" end end)`: "aBc 3",
		`("a b"):gsub("(%w) (%w)", function(x, y) return y .. x end)`:         "ba 1",
		`("abc"):gsub("^a", "x")`:                           "xbc 1",
		`("aaa"):gsub("^a", "x")`:                           "xaa 1",
		`("%d"):gsub("%%d", "%%s")`:                         "%s 1",
		`("a,b,c"):gsub(",", 1)`:                            "a1b1c 2",
		`("%5.2f|%-4d|%04d|%+d"):format(3.14159, 7, 42, 5)`: " 3.14|7   |0042|+5",
		`("%s %s %s"):format(nil, true, {} ~= nil)`:         "nil true true", // 5.1 wants strings
		`("%q"):format('a"b\\\n\0')`:                        "\"a\\\"b\\\\\\\n\\000\"",
		`("%10s|%-10s|%.2s"):format("abc", "abc", "abc")`:   "       abc|abc       |ab",
		`("%x %X %o %c %%"):format(255, 255, 8, 65)`:        "ff FF 10 A %",
		`("%x"):format(-1)`:                                 "ffffffffffffffff",
		`("%u %i"):format(3, 4)`:                            "3 4",
		`("%d"):format(2^53 + 2)`:                           "9007199254740994",
		`("%d"):format("10")`:                               "10",
		`("%g %g %g"):format(1e20, 0.1, 100)`:               "1e+20 0.1 100",
		`("%.3e"):format(12345.678)`:                        "1.235e+04",
		`("%5.1f|%f"):format(1/0, -1/0)`:                    "  inf|-inf",
		`table.concat({1, 2, "x"}, ", ")`:                   "1, 2, x",
		`table.concat({1, 2, 3}, "-", 2, 3)`:                "2-3",
		`table.concat({})`:                                  "",
		`#table.concat({("x"):rep(1000), ("y"):rep(1000)})`: "2000",
	} {
		source = "local function join(...) local s = '' for i = 1, select('#', ...) do " +
			"s = s .. (i > 1 and ' ' or '') .. tostring((select(i, ...))) end return s end print(join(" + source + "))"
		if got := eval(t, source); got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}

func TestGmatch(t *testing.T) {
	for source, want := range map[string]string{
		`for w in ("one two"):gmatch("%a+") do print(w) end`:                  "one\ntwo",
		`for k, v in ("a=1, b=2"):gmatch("(%w+)=(%w+)") do print(k .. v) end`: "a1\nb2",
		`local n = 0 for _ in ("abc"):gmatch("") do n = n + 1 end print(n)`:   "4",
		`for p in ("abc"):gmatch("()b") do print(p) end`:                      "2",
		`for w in ("aaa"):gmatch("^a") do print(w) end`:                       "a", // Lua: a literal ^
		`local next = ("ab"):gmatch("%a") print(next(), next(), next())`:      "a\tb",
	} {
		if got := eval(t, source); got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}

func TestStringErrors(t *testing.T) {
	for source, want := range map[string]string{
		`("%d"):format()`:                             "bad argument #2 to format (no value for %d)",
		`("%s %s"):format(1)`:                         "bad argument #3 to format (no value for %s)",
		`("%d"):format("x")`:                          "number expected, got string",
		`("%y"):format(1)`:                            `invalid format "%y"`,
		`("%"):format(1)`:                             `invalid format "%"`,
		`("%123d"):format(1)`:                         `invalid format "%123"`,
		`("x"):rep(1e9)`:                              "string longer than 1048576 bytes",
		`("x"):rep(2048):rep(2^53)`:                   "string longer than 1048576 bytes",
		`("x"):rep(2^50)`:                             "string longer than 1048576 bytes",
		`("x"):rep(0/0)`:                              "not a number",
		`("ab"):rep(524289)`:                          "string longer than 1048576 bytes",
		`("x"):find("[")`:                             "malformed pattern (missing ']')",
		`("x"):find("%")`:                             "malformed pattern (ends with '%')",
		`("x"):gsub("x", "%1%2")`:                     "invalid capture index %2",
		`("x"):gsub("x", "%")`:                        "the replacement ends with '%'",
		`("x"):gsub("x", {x = {}})`:                   "invalid replacement value (a table)",
		`("x"):gsub("x", true)`:                       "string, table or function expected, got boolean",
		`("x"):rep(1e6):gsub("x", "yy")`:              "string longer than 1048576 bytes",
		`("x"):rep(1e6):gsub(".*", ("%0"):rep(1000))`: "string longer than 1048576 bytes",
		`string.char(256)`:                            "bad argument #1 to char (not a byte)",
		`("x"):rep(10000):byte(1, -1)`:                "string slice too long",
		`local s = ("x"):rep(2^20) .. "y"`:            "string longer than 1048576 bytes",
		`local t = {} for i = 1, 2000 do t[i] = ("x"):rep(1000) end table.concat(t)`:      "string longer than 1048576 bytes",
		`local t = {} for i = 1, 20 do t[i] = "x" end table.concat(t, ("y"):rep(100000))`: "string longer than 1048576 bytes",
		`local s = ("%s"):rep(20):format(unpack({("x"):rep(1e5), ("x"):rep(1e5)}))`:       "no value for %s",
		`local x = ("x"):rep(1e6) local s = ("%s%s"):format(x, x)`:                        "string longer than 1048576 bytes",
		`table.concat({1, {}, 3})`:                          "cannot concatenate item 2: it is a table",
		`local x = "a" .. nil`:                              "attempt to concatenate a string and a nil",
		`local x = 1 .. {} .. "b"`:                          "attempt to concatenate a table and a string",
		`table.insert({}, 5, 1)`:                            "position out of bounds",
		`table.insert({}, 0, 1)`:                            "position out of bounds",
		`table.insert({})`:                                  "wrong number of arguments to 'insert'",
		`unpack({}, 1, 1e8)`:                                "too many results to unpack",
		`unpack({}, -1e300, 1e300)`:                         "too many results to unpack",
		`math.random(0)`:                                    "interval is empty",
		`math.random(2, 1)`:                                 "interval is empty",
		`math.random(-math.huge, math.huge)`:                "interval is empty",
		`table.sort({3, "x", 1})`:                           "attempt to compare",
		`table.sort({3, 2, 1}, function() error("no") end)`: "no",
	} {
		wantError(t, source, run(t, Config{}, source), want)
	}
}

func TestTableFunctions(t *testing.T) {
	for source, want := range map[string]string{
		`local t = {3, 1, 2} table.sort(t) print(unpack(t))`:                                     "1\t2\t3",
		`local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) print(unpack(t))`:    "3\t2\t1",
		`local t = {3, 1, 2} pcall(table.sort, t, function() error("x") end) print(unpack(t))`:   "3\t1\t2",
		`local t = {1, 2} table.insert(t, 3) table.insert(t, 1, 0) print(unpack(t))`:             "0\t1\t2\t3",
		`local t = {1, 2, 3} print(table.remove(t, 1), table.remove(t), table.remove(t, 9), #t)`: "1\t3\tnil\t1",
		`local t = {1, 2, 3} t[3] = nil print(table.remove(t), #t)`:                              "2\t1",
		`print(table.remove({}))`: "",
		`local m = math.random(3, 3) print(m, math.random(1), math.random() < 1)`:                       "3\t1\ttrue",
		`math.randomseed(7) local a = math.random(1e9) math.randomseed(7) print(a == math.random(1e9))`: "true",
	} {
		if got := eval(t, source); got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}

// Concatenation goes through a function of ours, with the meaning of the operator.
func TestConcat(t *testing.T) {
	for source, want := range map[string]string{
		`print("a" .. 1 .. 2.5 .. -3)`: "a12.5-3",
		`local m = {} m.__concat = function(a, b) return setmetatable({type(a) .. type(b)}, m) end
		 local x = setmetatable({}, m)
		 print(("s" .. x)[1], (x .. 1)[1], ("a" .. "b" .. x)[1], (x .. "a" .. "b")[1])`: "stringtable\ttablenumber\tstringtable\ttablestring",
		`local function two() return "x", "y" end print("a" .. two(), two() .. "b")`: "ax\txb",
		`local function f(...) return "a" .. ... end print(f("p", "q"))`:             "ap",
	} {
		if got := eval(t, source); got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
	long := strings.TrimSuffix(strings.Repeat(`"ab" .. `, 150), " .. ")
	if got := eval(t, "print(#("+long+"))"); got != "300" {
		t.Errorf("150 operands: got %s", got)
	}
}
