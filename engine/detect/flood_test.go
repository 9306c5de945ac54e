package detect

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"moonlatch/engine/packet"
)

// forge makes p the i-th packet of a flood at 250,000 packets/s, each from a
// source of its own.
func forge(p *packet.Packet, i int) {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(i)*2654435761+1)
	p.Src = netip.AddrFrom4(a)
	p.Time = start.Add(time.Duration(i) * 4 * time.Microsecond)
	p.Dport, p.HasPorts = uint16(i), true
}

// TestFlood: 1,000,000 forged sources do not hide a scanner that takes 100 ms
// from port to port, nor cause any hit themselves.
func TestFlood(t *testing.T) {
	d := newDetector(t, Spec{Count: DistinctDport, Over: 10, Within: time.Minute})
	scanner := netip.MustParseAddr("2001:db8::bad")
	caught := 0
	var p packet.Packet
	for i := range 1_000_000 {
		forge(&p, i)
		if i%25_000 == 0 {
			p.Src = scanner
		}
		hit := d.Observe(&p)
		switch {
		case hit == nil:
		case hit.Src != scanner:
			t.Fatalf("innocent source: %+v", hit)
		default:
			caught++
		}
	}
	if caught == 0 {
		t.Error("the scanner was not caught")
	}
	s := d.Stats()
	if s.Tracked < s.Capacity*99/100 || s.Tracked > s.Capacity {
		t.Errorf("tracked %d of %d, want a full table", s.Tracked, s.Capacity)
	}
	if s.Evicted < 900_000 {
		t.Errorf("evicted = %d, want all forged sources that did not fit", s.Evicted)
	}
}

// TestEvictionOrder fills one bucket and asks for one place more.
func TestEvictionOrder(t *testing.T) {
	const within = time.Minute
	for _, tt := range []struct {
		name   string
		victim int // given this many events fewer, or this much older
		events func(slot int) int
		age    func(slot int) time.Duration
		live   bool
	}{
		{"the one expired, though it has most events", 5,
			func(s int) int { return 1 + s/5*4 },
			func(s int) time.Duration { return []time.Duration{0, within}[b2i(s == 5)] }, false},
		{"the one from before the clock was set back", 6,
			func(int) int { return 2 },
			func(s int) time.Duration { return []time.Duration{0, -time.Hour}[b2i(s == 6)] }, false},
		{"the one with fewest events, though not the oldest", 3,
			func(s int) int { return 2 - b2i(s == 3) },
			func(s int) time.Duration { return time.Duration(10-s) * time.Second }, true},
		{"the oldest of equals", 4,
			func(int) int { return 1 },
			func(s int) time.Duration { return time.Duration(1+b2i(s == 4)) * time.Second }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := start.UnixNano()
			tab := newTable(ways, 11, within, false)
			for i := range ways {
				slot, was := tab.claim(0, key{byte(i + 1)}, now)
				if was != slotFree || slot != i {
					t.Fatalf("claim %d = slot %d, state %d, want a free one", i, slot, was)
				}
				for range tt.events(i) {
					tab.add(slot, now-int64(tt.age(i)), 0)
				}
			}
			slot, was := tab.claim(0, key{99}, now)
			if slot != tt.victim || (was == slotLive) != tt.live {
				t.Errorf("gave up slot %d, state %d; want slot %d, live %t", slot, was, tt.victim, tt.live)
			}
		})
	}
}

// TestEvictedCountsLossesOnly: taking the place of a source whose window has
// run out loses nothing.
func TestEvictedCountsLossesOnly(t *testing.T) {
	for _, tt := range []struct {
		later   time.Duration
		evicted uint64
	}{{time.Minute - 1, 1}, {time.Minute, 0}} {
		d := newDetector(t, Spec{Count: Events, Over: 10, Within: time.Minute, Track: ways})
		for i := range ways {
			d.Observe(probe(fmt.Sprintf("192.0.2.%d", i), 0, 80))
		}
		d.Observe(probe("198.51.100.1", tt.later, 80))
		if s := d.Stats(); s.Evicted != tt.evicted || s.Tracked != ways {
			t.Errorf("after %s: evicted = %d, tracked = %d, want %d and %d", tt.later, s.Evicted, s.Tracked, tt.evicted, ways)
		}
	}
}

// TestStatsFromAnotherGoroutine is for the race detector.
func TestStatsFromAnotherGoroutine(t *testing.T) {
	d := newDetector(t, Spec{Count: Events, Over: 10, Within: time.Minute})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for d.Stats().Events < 1000 {
			runtime.Gosched()
		}
	}()
	var p packet.Packet
	for i := range 1000 {
		forge(&p, i)
		d.Observe(&p)
	}
	<-done
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestObserveAllocatesNothing(t *testing.T) {
	for _, count := range []Count{Events, DistinctDport} {
		d := newDetector(t, Spec{Count: count, Over: 10, Within: time.Millisecond, Track: 1024})
		var p packet.Packet
		i := 0
		if n := testing.AllocsPerRun(100_000, func() { i++; forge(&p, i); d.Observe(&p) }); n != 0 {
			t.Errorf("%s: %v allocations per packet", count, n)
		}
	}
}

// BenchmarkObserve measures a flood that misses the cache, and sources that
// keep their windows full without crossing.
func BenchmarkObserve(b *testing.B) {
	for _, count := range []Count{Events, DistinctDport} {
		b.Run(fmt.Sprintf("%s/flood", count), func(b *testing.B) {
			d := newDetector(b, Spec{Count: count, Over: 10, Within: time.Minute})
			var p packet.Packet
			i := 0
			for b.Loop() {
				forge(&p, i)
				d.Observe(&p)
				i++
			}
		})
		for _, over := range []int{10, 100, 1000, MaxOver} {
			b.Run(fmt.Sprintf("%s/steady/over=%d", count, over), func(b *testing.B) { benchmarkSteady(b, count, over) })
		}
	}
}

func benchmarkSteady(b *testing.B, count Count, over int) {
	const sources = 100
	// Each source sends over packets per window, to ports that do not repeat in it.
	d := newDetector(b, Spec{Count: count, Over: over, Within: time.Duration(over*sources) * time.Microsecond})
	order := rand.New(rand.NewPCG(1, 2)).Perm(sources)
	p := packet.Packet{HasPorts: true}
	i := 0
	for b.Loop() {
		p.Src = netip.AddrFrom4([4]byte{192, 0, 2, byte(order[i%sources])})
		p.Time = start.Add(time.Duration(i) * time.Microsecond)
		p.Dport = uint16(i / sources)
		if hit := d.Observe(&p); hit != nil {
			b.Fatal("a steady source must stay at the threshold")
		}
		i++
	}
}
