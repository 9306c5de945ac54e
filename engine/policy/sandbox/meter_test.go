package sandbox

import (
	"errors"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// Whatever a policy does, it ends, and with the error of the limit. The time is
// a bound against hanging, not a measure.
func TestEndless(t *testing.T) {
	const bound = 20 * time.Second
	for name, source := range map[string]string{
		"loop":            "while true do end",
		"goto":            "::again:: goto again",
		"recursion":       "local function f() return f() end f()",
		"pcall":           "while true do pcall(function() while true do end end) end",
		"pcall tree":      "local function f() pcall(f) pcall(f) end while true do f() end",
		"xpcall handler":  "while true do xpcall(function() while true do end end, function() while true do end end) end",
		"handler":         "xpcall(error, function() while true do end end)",
		"metamethod":      "local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) while true do end end return t.x",
		"tostring":        "tostring(setmetatable({}, {__tostring = function() while true do end end}))",
		"equality":        "local m = {__eq = function() while true do end end} return setmetatable({}, m) == setmetatable({}, m)",
		"sort":            "local t = {} for i = 1, 1e4 do t[i] = -i end while true do table.sort(t) end",
		"sort comparator": "local t = {} for i = 1, 1e4 do t[i] = i end while true do table.sort(t, rawequal) end",
		"sort strings":    "local t, s = {}, ('x'):rep(1e6) for i = 1, 1e4 do t[i] = s .. '' end while true do table.sort(t) end",
		"gsub function":   "while true do ('x'):rep(1e4):gsub('x', tostring) end",
		"gsub table":      "local t = setmetatable({}, {__index = function() while true do end end}) while true do ('x'):gsub('x', t) end",
		"gsub":            "while true do ('x'):rep(1e5):gsub('x', 'y') end",
		"gmatch":          "while true do for _ in ('x'):rep(1e5):gmatch('') do end end",
		"backtracking":    "('a'):rep(64):find('.-.-.-.-.-.-.-b')",
		"backtracking 2":  "('a'):rep(100000):find('a*a*a*b')",
		"backtracking 3":  "('a'):rep(1e6):match('(a*)%1*b')",
		"plain find":      "while true do ('a'):rep(1e6):find(('a'):rep(1e3) .. 'b', 1, true) end",
		"balance":         "while true do ('('):rep(1e5):find('%b()') end",
		"rep":             "while true do local s = ('x'):rep(1e6) end",
		"concat":          "local s = '' while true do s = s .. 'xxxxxxxx' if #s > 1e6 then s = '' end end",
		"table.concat":    "local t = {} for i = 1, 1e4 do t[i] = 'x' end while true do table.concat(t) end",
		"upper":           "local s = ('x'):rep(1e6) while true do s:upper():lower():reverse() end",
		"format":          "local s = ('x'):rep(1e6) while true do ('%s'):format(s) end",
		"insert in front": "local t = {} while true do table.insert(t, 1, 0) end",
		"remove in front": "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.remove(t, 1) table.insert(t, 1) end",
		"unpack":          "local t = {} for i = 1, 7e3 do t[i] = i end while true do select('#', unpack(t)) end",
		"varargs":         "local function f(...) return f(1, ...) end while true do pcall(f) end",
		"next":            "local t = {} for i = 1, 2e5 do t['k' .. i] = 1 t['k' .. i] = nil end t.x = 1 while true do next(t) end",
		"length":          "local t = {} for i = 1, 2e5 do t[i] = i end for i = 2e5, 1, -1 do t[i] = nil end while true do local n = #t end",
		"array gap":       "while true do local t = {} t[1e6] = 1 end",
		"array gap raw":   "while true do rawset({}, 1e6, 1) end",
		"array gap key":   "while true do local t = {[1e6] = 1} end",
		"compare":         "local a, b = ('x'):rep(1e6), ('x'):rep(1e6) while true do local c = a < b end",
		"hash":            "local t, s = {}, ('x'):rep(1e6) while true do t[s] = 1 end",
		"require":         "while true do pcall(require, 'x') end",
		"print":           "while true do print(('x'):rep(1e5)) end",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			cfg := Config{LoadBudget: 2_000_000, LoadDeadline: 200 * time.Millisecond, Print: func(string) {}}
			err := run(t, cfg, source)
			if !errors.Is(err, ErrBudget) && !errors.Is(err, ErrDeadline) {
				t.Errorf("got %v", err)
			}
			wantError(t, source, err, "policy.lua:1: ")
			if took := time.Since(start); took > bound {
				t.Errorf("took %v", took)
			}
		})
	}
}

// What a library function does in Go is paid for, in instructions.
func TestGoWorkIsPaidFor(t *testing.T) {
	const setup = `local s, t, u = ("x"):rep(2^20), {}, {}
		for i = 1, 1e5 do t[i] = "" end for i = 1, 7e3 do u[i] = i end return function() `
	for source, least := range map[string]int64{
		`return ("x"):rep(2^20)`: 1 << 14,
		`return s:upper()`:       1 << 14,
		`return s:lower()`:       1 << 14,
		`return s:reverse()`:     1 << 14,
		`return s .. ""`:         1 << 14,
		`return s .. "" .. setmetatable({}, {__concat = function(a, b) return "" end})`: 1 << 14,
		`return ("%s"):format(s)`:     2 << 14,
		`return s:find("y", 1, true)`: 1 << 16,
		`return s:find("yy")`:         1 << 16,
		`return s:find(".-y$")`:       1 << 20,
		`return s:match("x*y")`:       1 << 20,
		`return s:gmatch("y")()`:      1 << 20,
		`return s:gsub("y", "")`:      1<<20 + 1<<14,
		`return ("a"):gsub("a", s)`:   2 << 14,
		`return table.concat({s})`:    1 << 14,
		`return table.concat(t)`:      1e5,
		`print(s)`:                    1 << 14,
		`table.insert(t, 1, "")`:      6000,
		`table.remove(t, 1)`:          5800,
		`return unpack(u)`:            6999,
		`table.sort({s, s .. ""})`:    1<<17 + 1<<14,
		`table.sort(u, rawequal)`:     6900,
		`table.sort(t)`:               1e5,
		`t[3e5] = 1`:                  2e5 / 4,
		`t[3e5], t.x = 1, 1`:          2e5 / 4,
		`rawset(t, 3e5, 1)`:           2e5 / 4,
		`return {[3e5] = 1}`:          3e5 / 8,
		`return next(t)`:              8,
		`for k in pairs(u) do end`:    7000 * 8,
	} {
		s, fn := load(t, Config{CallBudget: 4_000_000, CallDeadline: time.Minute, Print: func(string) {}}, setup+source+" end")
		if _, err := s.Call(fn, 0); err != nil && !errors.Is(err, ErrBudget) {
			t.Errorf("%s: %v", source, err)
		}
		if spent := s.meter.budget - s.meter.left; spent < least {
			t.Errorf("%s: paid %d, want at least %d", source, spent, least)
		}
	}
}

// A result that is too long is refused before it is built.
func TestTooLongIsNotBuilt(t *testing.T) {
	const setup = `local s, t = ("x"):rep(2^20), {} for i = 1, 300 do t[i] = s end return function() `
	for _, source := range []string{
		`return ("%s"):rep(300):format(unpack(t))`,
		`return ("a"):rep(300):gsub("a", s)`,
		`return ("a"):rep(300):gsub("a", function() return s end)`,
		`return s:gsub(".*", ("%0"):rep(300))`,
		`return table.concat(t)`,
		`return table.concat({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, s)`,
		`return ` + strings.TrimSuffix(strings.Repeat("s .. ", 100), " .. "),
		`return s:rep(300)`,
	} {
		s, fn := load(t, Config{CallBudget: 1 << 40}, setup+source+" end")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := s.Call(fn, 0)
		runtime.ReadMemStats(&after)
		wantError(t, source, err, "string longer than 1048576 bytes")
		if got := after.TotalAlloc - before.TotalAlloc; got > 16<<20 {
			t.Errorf("%s: allocated %d MiB", source, got>>20)
		}
	}
}

func TestDeadline(t *testing.T) {
	now := time.Unix(0, 0)
	looks := 0
	cfg := Config{
		LoadBudget:   1_000_000,
		LoadDeadline: time.Second,
		Now: func() time.Time {
			looks++
			now = now.Add(100 * time.Millisecond)
			return now
		},
	}
	err := run(t, cfg, "\nwhile true do end")
	if !errors.Is(err, ErrDeadline) {
		t.Errorf("got %v", err)
	}
	wantError(t, "", err, "policy.lua:2: took too long: longer than 1s")
	if looks != 12 { // the first starts the clock, the 12th is past it
		t.Errorf("looked at the clock %d times", looks)
	}
}

// A short call never looks at the clock.
func TestShortCallIgnoresClock(t *testing.T) {
	s, fn := load(t, Config{Now: func() time.Time { panic("looked at the clock") }}, "return function() return 1 end")
	if _, err := s.Call(fn, 1); err != nil {
		t.Error(err)
	}
}

func heapNow() uint64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// Everything that keeps memory is stopped near the limit, not when memory is out.
func TestMemory(t *testing.T) {
	const room, slack = 16 << 20, 96 << 20
	for name, source := range map[string]string{
		"doubling":      "local s, t = 'x', {} for i = 1, 1e9 do if #s < 5e5 then s = s .. s end t[i] = s .. i end",
		"rep":           "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1e6) end",
		"tables":        "local t = {} for i = 1, 1e9 do t[i] = {i} end",
		"closures":      "local t = {} for i = 1, 1e9 do t[i] = function() return i end end",
		"sparse":        "local t = {} for i = 1, 1e9 do t[i] = {} t[i][1e6] = true end",
		"sparse ports":  "local t = {} for i = 1, 1e9 do t[i] = {} t[i][65535] = true end",
		"sparse raw":    "local t = {} for i = 1, 1e9 do t[i] = {} rawset(t[i], 1e6, true) end",
		"sparse key":    "local t = {} for i = 1, 1e9 do t[i] = {[1e6] = true} end",
		"sparse swap":   "local t = {} for i = 1, 1e9 do t[i] = {} t[i][1e6], t[i].x = 1, 2 end",
		"dead keys":     "local t = {} for i = 1, 1e9 do t['k' .. i] = 1 t['k' .. i] = nil end",
		"gsub":          "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(5e5):gsub('x', 'yy') end",
		"concat":        "local t, p = {}, {('x'):rep(5e5), ('y'):rep(5e5)} for i = 1, 1e9 do t[i] = table.concat(p) end",
		"error strings": "local t = {} for i = 1, 1e9 do local _, e = pcall(error, ('x'):rep(1e6)) t[i] = e end",
		"in pcall":      "while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end",
	} {
		t.Run(name, func(t *testing.T) {
			limit := heapNow() + room
			err := run(t, Config{HeapLimit: limit, LoadBudget: 1 << 40, LoadDeadline: time.Minute}, source)
			if !errors.Is(err, ErrMemory) {
				t.Errorf("got %v", err)
			}
			sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
			metrics.Read(sample)
			if got := sample[0].Value.Uint64(); got > limit+slack {
				t.Errorf("heap is %d MiB over the limit", (got-limit)>>20)
			}
			wantError(t, source, err, "policy.lua:1: uses too much memory")
		})
	}
}

// A string cannot grow beyond its limit: forty doublings would be a terabyte.
func TestDoubling(t *testing.T) {
	for _, source := range []string{
		"local s = 'x' for i = 1, 40 do s = s .. s end",
		"local s = 'x' for i = 1, 40 do s = s .. s .. s .. s end",
		"local s = 'x' for i = 1, 40 do local t = {} t.s = s .. s s = t.s end",
		"local s = 'x' for i = 1, 40 do s = ('%s%s'):format(s, s) end",
		"local s = 'x' for i = 1, 40 do s = table.concat({s, s}) end",
		"local s = 'x' for i = 1, 40 do s = s:rep(2) end",
		"local s = 'x' for i = 1, 40 do s = s:gsub('.+', '%0%0') end",
		"local s = 'x' for i = 1, 40 do s = ('a'):gsub('a', function() return s .. s end) end",
		"local s = 'x' for i = 1, 40 do s = ('ab'):gsub('.', s) end",
		"local s = 'x' for i = 1, 40 do s = ('a'):rep(2):gsub('a', {a = s}) end",
		"local m = setmetatable({}, {__concat = function(a) return a end}) local s = 'x' for i = 1, 40 do s = s .. s .. m end",
	} {
		wantError(t, source, run(t, Config{}, source), "string longer than 1048576 bytes")
	}
}

// Garbage that is not collected yet is nobody's fault.
func TestGarbageIsNotBlamed(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	limit := heapNow() + 32<<20
	for range 64 {
		garbage = make([]byte, 1<<20)
	}
	garbage = nil
	if err := run(t, Config{HeapLimit: limit}, "for i = 1, 1e5 do end"); err != nil {
		t.Error(err)
	}
}

var garbage []byte // keeps the compiler from leaving the allocation out

// A leak of many short calls is found too, although none of them is long
// enough to be looked at.
func TestMemoryOverManyCalls(t *testing.T) {
	limit := heapNow() + 16<<20
	s, fn := load(t, Config{HeapLimit: limit}, "local t = {} return function() t[#t + 1] = ('x'):rep(1000) end")
	for range 1_000_000 {
		if _, err := s.Call(fn, 0); err != nil {
			if !errors.Is(err, ErrMemory) {
				t.Fatal(err)
			}
			return
		}
	}
	t.Error("a million calls leaked a gigabyte")
}

// An integer key far out goes to the hash part of a table.
func TestMaxArrayIndex(t *testing.T) {
	if got := eval(t, "local t = {} t[2^20] = 1 t[67108863] = 2 print(#t, t[2^20], t[67108863])"); got != "0\t1\t2" {
		t.Errorf("got %q", got)
	}
	if lua.MaxArrayIndex != 1<<20 {
		t.Errorf("MaxArrayIndex is %d", lua.MaxArrayIndex)
	}
}

func TestBudgetIsPerCall(t *testing.T) {
	s, fn := load(t, Config{CallBudget: 1000}, "return function(n) for i = 1, n do end end")
	for range 100 {
		if _, err := s.Call(fn, 0, number(500)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Call(fn, 0, number(5000))
	if !errors.Is(err, ErrBudget) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Call(fn, 0, number(5)); err != nil {
		t.Errorf("after a stop: %v", err)
	}
	if !strings.Contains(err.Error(), "instruction budget used up: 1000 instructions") {
		t.Errorf("got %v", err)
	}
}

// A suspended call finds its budget, its time and its place as it left them,
// whatever others did to theirs meanwhile.
func TestSuspend(t *testing.T) {
	now := time.Unix(0, 0)
	cfg := Config{CallBudget: 100_000, CallDeadline: time.Second, Now: func() time.Time { return now }}
	s, fn := load(t, cfg, `local n = 0
		return function(f)
			local ok, err = pcall(function()
				for i = 1, 10000 do n = n + 1 end
				f()
				for i = 1, 10000 do n = n + 1 end
				return "done"
			end)
			return n, err
		end`)
	endless, err := s.Load("other.lua", []byte("while true do end"))
	if err != nil {
		t.Fatal(err)
	}
	pause := s.L().NewFunction(func(*lua.LState) int {
		left := s.meter.left
		resume := s.Suspend()
		now = now.Add(time.Hour)
		if _, err := s.Call(endless, 0); !errors.Is(err, ErrBudget) {
			t.Errorf("the other call: %v", err)
		}
		resume()
		if s.meter.left != left || s.meter.err != nil {
			t.Errorf("left %d of the budget, want %d; error %v", s.meter.left, left, s.meter.err)
		}
		return 0
	})
	ret, err := s.Call(fn, 2, pause)
	if err != nil || len(ret) != 2 || ret[0] != lua.LNumber(20000) || ret[1] != lua.LString("done") {
		t.Errorf("got %v, %v", ret, err)
	}
	if s.nested != 0 || s.current != s.lua {
		t.Errorf("%d calls still run after it", s.nested)
	}
}
