package metrics

import (
	"testing"
	"time"
)

// TestCallbackTookAllocatesNothing: it runs once for each event that Lua sees. A ban, which has
// an exemplar, runs once a ban.
func TestCallbackTookAllocatesNothing(t *testing.T) {
	m := New()
	d := time.Duration(0)
	took := func() {
		d = (d + 37) % 20_000 // as many native buckets as callbacks really fill
		m.CallbackTook("web.lua", d)
	}
	for range 20_000 {
		took()
	}
	if n := testing.AllocsPerRun(10_000, took); n != 0 {
		t.Errorf("%v allocations per callback", n)
	}
	if n := testing.AllocsPerRun(1000, func() { m.BanTook(d, 7) }); n > 20 {
		t.Errorf("%v allocations per ban", n)
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
