package detect

import (
	"encoding/binary"
	"fmt"
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
	p.Dst, p.Length = netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 1500
}

// floods is how many forged packets a test sends.
const floods = 100_000

// TestFlood: forged sources, many times more than are tracked, do not hide an
// offender that takes 10 ms from packet to packet, nor cause any hit themselves.
func TestFlood(t *testing.T) {
	for _, c := range []combination{
		{count: Events}, {count: Bytes}, {count: DistinctDport}, {count: DistinctDst},
		{count: Events, per: SrcDport}, {count: Bytes, per: SrcDst}, {count: DistinctDport, per: SrcDst},
		{count: Events, bits6: 128}, {count: DistinctDport, bits4: 31, bits6: 48},
	} {
		t.Run(c.String(), func(t *testing.T) {
			spec := c.spec()
			spec.Track = 8192
			if c.count == Bytes {
				spec.Over = 10 * 1500
			}
			d := newDetector(t, spec)
			flood(t, d, c)
			s := d.Stats()
			if s.Tracked < s.Capacity*99/100 || s.Tracked > s.Capacity {
				t.Errorf("tracked %d of %d, want a full table", s.Tracked, s.Capacity)
			}
			if s.Evicted < 80_000 || s.Evicted > floods-uint64(s.Tracked) {
				t.Errorf("evicted = %d, want all forged sources that did not fit", s.Evicted)
			}
		})
	}
}

func flood(t *testing.T, d *Detector, c combination) {
	offender := netip.MustParseAddr("2001:db8::bad")
	caught := 0
	var p packet.Packet
	for i := range floods {
		forge(&p, i)
		if i%2500 == 0 {
			p.Src = offender
			if c.per.hasDst() {
				p.Dst = host
			}
			if c.per.hasDport() {
				p.Dport = 22
			}
			if c.count == DistinctDport || c.count == DistinctDst {
				n := i / 2500
				p.Dport = uint16(n)
				if !c.per.hasDst() {
					p.Dst = netip.AddrFrom4([4]byte{198, 51, 100, byte(n)})
				}
			}
		}
		hit := d.Observe(&p)
		switch {
		case hit == nil:
		case hit.Src.Addr() != offender:
			t.Fatalf("innocent source: %+v", hit)
		default:
			caught++
		}
	}
	if caught == 0 {
		t.Error("the offender was not caught")
	}
}

// TestFloodOfDestinations is the same for keys without a source: a host that
// many sources knock at is found among many more destinations of forged ones.
func TestFloodOfDestinations(t *testing.T) {
	d := newDetector(t, Spec{Count: DistinctSrc, Per: Dst, Over: 10, Within: time.Minute, Track: 8192})
	caught := 0
	var p packet.Packet
	for i := range floods {
		forge(&p, i)
		p.Dst = p.Src
		if i%2500 == 0 {
			p.Dst = host
		}
		if hit := d.Observe(&p); hit != nil {
			if hit.Dst != host || hit.Src.IsValid() || len(hit.Addrs) != 11 {
				t.Fatalf("hit = %+v", hit)
			}
			caught++
		}
	}
	if caught != 3 {
		t.Errorf("caught %d times, want 3: 40 sources, 11 for each hit", caught)
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
			tab := newTable(&memory{}, ways, within, false)
			win := newSums(&memory{}, ways, Spec{Count: Events, Over: 10, Within: within})
			for i := range ways {
				slot, was := tab.claim(0, &key{one: address{lo: uint64(i + 1)}}, now)
				if was != slotFree || slot != i {
					t.Fatalf("claim %d = slot %d, state %d, want a free one", i, slot, was)
				}
				for range tt.events(i) {
					at := now - int64(tt.age(i))
					tab.heads[slot].last = at
					win.add(&tab.heads[slot], slot, at, 1)
				}
			}
			slot, was := tab.claim(0, &key{one: address{lo: 99}}, now)
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
	for _, c := range combinations() {
		spec := c.spec()
		spec.Within, spec.Track = time.Millisecond, 1024
		if c.count == Bytes {
			spec.Over = 10_000
		}
		d := newDetector(t, spec)
		var p packet.Packet
		i := 0
		if n := testing.AllocsPerRun(2000, func() { i++; forge(&p, i); d.Observe(&p) }); n != 0 {
			t.Errorf("%s: %v allocations per packet", c, n)
		}
	}
}
