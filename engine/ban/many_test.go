package ban

import (
	"net/netip"
	"testing"
	"time"
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

// TestManyPrefixesAreLaidOutAtOnce: comparing each with each would take a hundred times as long for ten times as many.
func TestManyPrefixesAreLaidOutAtOnce(t *testing.T) {
	quickest := func(n, rounds int) time.Duration {
		var c change
		for i, b := range manyPrefixes(n) {
			c.put = append(c.put, held{target: targetOf(b.Target), until: time.Duration(1 + i%2)})
		}
		least := time.Hour
		for range rounds {
			start := time.Now()
			next, err := make(prefixBans).with(c, 0)
			if least = min(least, time.Since(start)); err != nil || len(next) != len(c.put) {
				t.Fatalf("%d bans, %v", len(next), err)
			}
		}
		return least
	}
	if few, many := quickest(2500, 20), quickest(25_000, 5); many > 50*few {
		t.Errorf("2500 bans take %s, and 25000 take %s", few, many)
	}
}
