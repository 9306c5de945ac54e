package policy

import (
	"net/netip"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	lua "github.com/yuin/gopher-lua"
)

const sixFields = `if ev.src == "x" or ev.dst == "x" or ev.sport == 1 or ev.dport == 1 or ev.ttl == 1 or ev.flags == "x" then error("never") end`
const sixArgs = `if src == "x" or dst == "x" or sport == 1 or dport == 1 or ttl == 1 or flags == "x" then error("never") end`

// BenchmarkHandler compares a handler with a bare gopher-lua call that does the
// same: no sandbox, no schema, every value made beforehand. They take turns, so
// that the ratio of their medians holds on a busy machine. Fields read six
// fields of an event object, positional get six arguments.
func BenchmarkHandler(b *testing.B) {
	b.Run("fields", func(b *testing.B) {
		compare(b, handlerCall(b, `fw.on(closed, function(ev) `+sixFields+` end)`),
			bareCall(b, `return function(ev) `+sixFields+` end`, true))
	})
	b.Run("positional", func(b *testing.B) {
		compare(b, handlerCall(b, `fw.on(closed, { fields = { "src", "dst", "sport", "dport", "ttl", "flags" } }, function(src, dst, sport, dport, ttl, flags) `+sixArgs+` end)`),
			bareCall(b, `return function(src, dst, sport, dport, ttl, flags) `+sixArgs+` end`, false))
	})
}

// compare reports the median time of a call of each, and their ratio.
func compare(b *testing.B, ours, bare func()) {
	const batch = 200
	times := [2][]float64{}
	for b.Loop() {
		for i, call := range []func(){ours, bare} {
			start := time.Now()
			for range batch {
				call()
			}
			times[i] = append(times[i], float64(time.Since(start).Nanoseconds())/batch)
		}
	}
	for i := range times {
		slices.Sort(times[i])
	}
	o, r := times[0][len(times[0])/2], times[1][len(times[1])/2]
	b.ReportMetric(0, "ns/op") // of a batch of both: says nothing
	b.ReportMetric(o, "ns/call")
	b.ReportMetric(r, "ns/bare")
	b.ReportMetric(o/r, "ratio")
	b.ReportMetric(testing.AllocsPerRun(100, ours), "allocs/call")
	b.ReportMetric(testing.AllocsPerRun(100, bare), "allocs/bare")
}

func handlerCall(b *testing.B, source string) func() {
	s := newStage(b, source)
	h, p := s.Handlers()[0], syn()
	return func() {
		if err := s.Handle(h, "closed", p); err != nil {
			b.Fatal(err)
		}
	}
}

// bareCall calls the function with an event, or with the six values.
func bareCall(b *testing.B, source string, event bool) func() {
	L := lua.NewState()
	b.Cleanup(L.Close)
	if err := L.DoString(source); err != nil {
		b.Fatal(err)
	}
	fn := L.Get(-1).(*lua.LFunction)
	L.Pop(1)
	args := []lua.LValue{lua.LString("203.0.113.9"), lua.LString("192.0.2.80"), lua.LNumber(40000), lua.LNumber(3389), lua.LNumber(57), lua.LString("syn")}
	if event {
		args = []lua.LValue{bareEvent(L, args)}
	}
	return func() {
		if err := L.CallByParam(lua.P{Fn: fn, Protect: true}, args...); err != nil {
			b.Fatal(err)
		}
	}
}

// bareEvent is the plainest object that answers to the names of the fields.
func bareEvent(L *lua.LState, values []lua.LValue) lua.LValue {
	ev, mt := L.NewUserData(), L.NewTable()
	mt.RawSetString("__index", L.NewFunction(func(L *lua.LState) int {
		i := 0
		switch L.CheckString(2) {
		case "src":
		case "dst":
			i = 1
		case "sport":
			i = 2
		case "dport":
			i = 3
		case "ttl":
			i = 4
		case "flags":
			i = 5
		}
		L.Push(values[i])
		return 1
	}))
	ev.Metatable = mt
	return ev
}

// BenchmarkMatch is what each packet costs that no handler wants.
func BenchmarkMatch(b *testing.B) {
	s := newStage(b, `local net = fw.set "net" { "192.0.2.0/24", "2001:db8::/32" }
fw.on(closed, { tcp = { 22, 23, "3000-4000" }, not_src = net, flags = "syn", dst = "192.0.2.81" }, function() end)`)
	h, p := s.Handlers()[0], syn()
	b.ReportAllocs()
	for b.Loop() {
		if h.Match(p) {
			b.Fatal("matched")
		}
	}
}

// BenchmarkEvents handles packets of ever new sources.
func BenchmarkEvents(b *testing.B) {
	s := newStage(b, `fw.on(closed, function(ev) `+sixFields+` end)`)
	h, p := s.Handlers()[0], syn()
	b.ReportAllocs()
	for b.Loop() {
		next := p.Src.As4()
		next[3]++
		if next[3] == 0 {
			next[2]++
		}
		p.Src = netip.AddrFrom4(next)
		if err := s.Handle(h, "closed", p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, size := range []int{10, 1000} {
		b.Run(map[int]string{10: "10-rules", 1000: "1000-rules"}[size], func(b *testing.B) {
			source := []byte(prelude)
			for i := range size {
				source = append(source, `input { "rule `...)
				source = append(source, lua.LNumber(i).String()...)
				source = append(source, `", tcp = { 80, 443 }, src = admins, ct = "new", limit = "10/s", accept }`+"\n"...)
			}
			folder := fstest.MapFS{"policy.lua": {Data: source}}
			b.ReportAllocs()
			for b.Loop() {
				p, err := Load(folder, "policy.lua", Env{})
				if err != nil {
					b.Fatal(err)
				}
				p.Close()
			}
		})
	}
}
