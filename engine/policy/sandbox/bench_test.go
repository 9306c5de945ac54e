package sandbox

import (
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// handler reads six fields, as an event handler does.
const handler = `
local seen = 0
return function(time, src, dst, sport, dport, ttl)
	if dport == 22 and ttl < 64 and src ~= dst and time > sport then seen = seen + 1 end
end`

func event() []lua.LValue {
	return []lua.LValue{
		lua.LNumber(1700000000), lua.LString("192.0.2.1"), lua.LString("198.51.100.7"),
		lua.LNumber(40000), lua.LNumber(22), lua.LNumber(57),
	}
}

// BenchmarkCall is a call of a handler with six arguments in the sandbox.
func BenchmarkCall(b *testing.B) {
	s, fn := load(b, Config{}, handler)
	args := event()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Call(fn, 0, args...); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBareCall is the same call in gopher-lua as it comes, without limits.
func BenchmarkBareCall(b *testing.B) {
	L := lua.NewState()
	defer L.Close()
	if err := L.DoString(handler); err != nil {
		b.Fatal(err)
	}
	fn := L.Get(-1)
	L.Pop(1)
	args := event()
	b.ReportAllocs()
	for b.Loop() {
		L.Push(fn)
		for _, a := range args {
			L.Push(a)
		}
		if err := L.PCall(len(args), 0, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNew is what a console or a test run pays for a fresh sandbox.
func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		New(Config{}).Close()
	}
}
