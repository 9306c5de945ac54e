package ban

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// TestLayOut compares random changes with the plain meaning: each address of a
// /24 is stored once if some ban covers it, in the ban that lasts longest.
func TestLayOut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		bans := make(prefixBans)
		for range 25 {
			bits := uint8(120 + r.IntN(8)) // shorter than a host
			at := targetOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(256))}), 32)).shorten(bits)
			c := change{put: []held{{target: at, until: time.Duration(1 + r.IntN(5))}}}
			for range r.IntN(4) { // several at once
				c.put = append(c.put, held{target: at.shorten(uint8(120 + r.IntN(int(at.bits)-119))), until: time.Duration(1 + r.IntN(5))})
			}
			if r.IntN(4) == 0 {
				c = change{lift: []target{at}}
			}
			next, err := bans.with(c, 0)
			if err != nil {
				t.Fatal(err)
			}
			checkLayout(t, next)
			bans = next
		}
	}
}

func checkLayout(t *testing.T, bans prefixBans) {
	t.Helper()
	for i := range 256 {
		addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		want, got := time.Duration(0), time.Duration(0)
		stored := 0
		for _, b := range bans {
			if b.prefix().Contains(addr) {
				want = max(want, b.until)
			}
			for _, p := range b.parts {
				if p.Contains(addr) {
					stored++
					got = b.until
				}
			}
		}
		if got != want || stored > 1 {
			t.Fatalf("%s is stored %d times, until %d, want until %d", addr, stored, got, want)
		}
	}
}

func TestOffencesAreBounded(t *testing.T) {
	var o offences
	at := func(i int) target {
		return targetOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
	}
	for i := range 200_000 {
		o.add(at(i), 1, 0)
		o.add(at(i), 2, 0)
		if n := len(o.latest) + len(o.earlier); n > maxOffenders {
			t.Fatalf("%d offenders are remembered", n)
		}
	}
	for i := 200_000 - maxOffenders/2; i < 200_000; i++ {
		if o.count(at(i), 0) != 2 {
			t.Fatalf("offender %d from the end is forgotten", 200_000-i)
		}
	}
}

func TestDefaultTarget(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1":          "192.0.2.1/32",
		"::ffff:192.0.2.1":   "192.0.2.1/32",
		"2001:db8::1:2:3:4":  "2001:db8::/64",
		"fe80::1":            "fe80::1/128",
		"fe80::1%eth0":       "fe80::1/128",
		"2001:db8:1:2:3::%x": "2001:db8:1:2::/64",
	} {
		if got := DefaultTarget(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}
