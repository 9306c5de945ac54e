package metrics

import (
	"testing"
	"time"
)

// TestCallbackTookAllocatesNothing: it runs once for each event that Lua sees.
func TestCallbackTookAllocatesNothing(t *testing.T) {
	m := New()
	d := time.Duration(0)
	took := func() {
		d = (d + 37) % 20_000 // as many native buckets as callbacks really fill
		m.CallbackTook("web.lua", d)
		m.BanTook(d, 7)
	}
	for range 20_000 {
		took()
	}
	if n := testing.AllocsPerRun(10_000, took); n != 0 {
		t.Errorf("%v allocations per callback and ban", n)
	}
}

func BenchmarkCallbackTook(b *testing.B) {
	m := New()
	d := time.Duration(0)
	for b.Loop() {
		d = (d + 37) % 20_000
		m.CallbackTook("web.lua", d)
	}
}
