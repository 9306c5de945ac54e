package ban

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manyPrefixes are /24 and, in every tenth of them, a /26 that lasts longer.
func manyPrefixes(n int) []Ban {
	var out []Ban
	for i := 0; len(out) < n; i++ {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i), 0}), 24)
		out = append(out, Ban{Target: p, Until: time.Now().Add(time.Hour), By: "list", Origin: Manual})
		if i%10 == 0 {
			out = append(out, Ban{Target: netip.PrefixFrom(p.Addr(), 26), Until: time.Now().Add(2 * time.Hour), By: "list", Origin: Manual})
		}
	}
	return out
}

func BenchmarkImportPrefixes(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		book := open(b, Config{})
		b.StartTimer()
		got, err := book.Import(b.Context(), manyPrefixes(50_000), ImportOptions{})
		if err != nil || got.Booked != 50_000 {
			b.Fatalf("%+v, %v", got, err)
		}
	}
}

// TestManyPrefixesAreLaidOutAtOnce: comparing each with each would take a processor minutes.
func TestManyPrefixesAreLaidOutAtOnce(t *testing.T) {
	var c change
	for i, b := range manyPrefixes(50_000) {
		c.put = append(c.put, held{target: targetOf(b.Target), until: time.Duration(1 + i%2)})
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := busy(t)
	next, err := make(prefixBans).with(c, 0)
	if took := busy(t) - start; err != nil || len(next) != len(c.put) || took > 20*time.Second {
		t.Errorf("%d bans in %s, %v", len(next), took, err)
	}
}

// busy is how long a processor has worked for this thread.
func busy(t *testing.T) time.Duration {
	t.Helper()
	var use unix.Rusage
	must(t, unix.Getrusage(unix.RUSAGE_THREAD, &use))
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
