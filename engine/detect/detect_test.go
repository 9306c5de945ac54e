package detect

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go4.org/netipx"

	"moonlatch/engine/packet"
)

// host is what probes are sent to.
var host = netip.MustParseAddr("198.51.100.80")

var start = time.Unix(1_700_000_000, 0)

// probe is a packet from src to port, sent at after start.
func probe(src string, at time.Duration, port uint16) *packet.Packet {
	return &packet.Packet{Src: netip.MustParseAddr(src), Time: start.Add(at), Dport: port, HasPorts: true, Dst: host, Length: 100}
}

func newDetector(t testing.TB, spec Spec) *Detector {
	t.Helper()
	if spec.Name == "" {
		spec.Name = t.Name()
	}
	d, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWindowEdge(t *testing.T) {
	for _, tt := range []struct {
		name string
		last time.Duration
		want bool
	}{
		{"first event still inside", time.Minute - 1, true},
		{"first event just left", time.Minute, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, count := range []Count{Events, DistinctDport} {
				d := newDetector(t, Spec{Count: count, Over: 2, Within: time.Minute})
				d.Observe(probe("192.0.2.1", 0, 1))
				d.Observe(probe("192.0.2.1", 1, 2))
				if got := d.Observe(probe("192.0.2.1", tt.last, 3)) != nil; got != tt.want {
					t.Errorf("%s: hit = %t, want %t", count, got, tt.want)
				}
			}
		})
	}
}

func TestStartsAfreshAfterHit(t *testing.T) {
	d := newDetector(t, Spec{Count: Events, Over: 2, Within: time.Minute})
	var hits []int
	for i := range 9 {
		if d.Observe(probe("192.0.2.1", time.Duration(i)*time.Second, 80)) != nil {
			hits = append(hits, i)
		}
	}
	if diff := cmp.Diff([]int{2, 5, 8}, hits); diff != "" {
		t.Error(diff)
	}
	if s := d.Stats(); s.Hits != 3 || s.Tracked != 0 {
		t.Errorf("stats = %+v, want 3 hits and nobody tracked", s)
	}
}

// TestClockSetBack: a source that stays at its threshold for hours must not be
// reported because the clock repeats an hour.
func TestClockSetBack(t *testing.T) {
	for _, back := range []time.Duration{2 * time.Second, 30 * time.Second, time.Hour, 48 * time.Hour} {
		t.Run(back.String(), func(t *testing.T) {
			d := newDetector(t, Spec{Count: Events, Over: 3, Within: time.Minute})
			clock := time.Duration(0)
			for i := range 100 {
				clock += 21 * time.Second // never more than 3 in a minute
				if i == 50 {
					clock -= back
				}
				if hit := d.Observe(probe("192.0.2.1", clock, 80)); hit != nil {
					t.Fatalf("event %d: %+v", i, hit)
				}
			}
			for i := range 4 {
				clock += time.Second
				if hit := d.Observe(probe("192.0.2.1", clock, 80)); hit != nil {
					return
				} else if i == 3 {
					t.Error("a flood after the clock was set back was not noticed")
				}
			}
		})
	}
}

func TestSources(t *testing.T) {
	for _, tt := range []struct {
		name, one, two string
		same           bool
	}{
		{"two IPv4 addresses", "192.0.2.1", "192.0.2.2", false},
		{"one /64", "2001:db8::1", "2001:db8::ffff:0:0:2", true},
		{"two /64", "2001:db8::1", "2001:db8:0:1::1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDetector(t, Spec{Count: Events, Over: 1, Within: time.Minute})
			d.Observe(probe(tt.one, 0, 80))
			hit := d.Observe(probe(tt.two, 1, 80))
			if (hit != nil) != tt.same {
				t.Fatalf("hit = %+v, want one: %t", hit, tt.same)
			}
			if hit != nil && hit.Src.Addr().String() != tt.two {
				t.Errorf("Src = %s, want the last address seen, %s", hit.Src, tt.two)
			}
		})
	}
}

func TestNotCounted(t *testing.T) {
	var b netipx.IPSetBuilder
	b.AddPrefix(netip.MustParsePrefix("198.51.100.0/24"))
	b.AddPrefix(netip.MustParsePrefix("2001:db8:1::/48"))
	except, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	noPorts := probe("192.0.2.1", 0, 80)
	noPorts.HasPorts = false
	noSource := probe("192.0.2.1", 0, 80)
	noSource.Src = netip.Addr{}
	noDst := probe("192.0.2.1", 0, 80)
	noDst.Dst = netip.Addr{}
	noLength := probe("192.0.2.1", 0, 80)
	noLength.Length = 0
	noTime := probe("192.0.2.1", 0, 80)
	noTime.Time = time.Time{}
	for _, tt := range []struct {
		name  string
		count Count
		p     *packet.Packet
		want  Stats
	}{
		{"counted", DistinctDport, probe("192.0.2.1", 0, 80), Stats{Hits: 1}},
		{"excepted", DistinctDport, probe("198.51.100.9", 0, 80), Stats{Excepted: 1}},
		{"excepted, IPv6", Events, probe("2001:db8:1:2::3", 0, 80), Stats{Excepted: 1}},
		{"no ports", DistinctDport, noPorts, Stats{Skipped: 1}},
		{"no destination", DistinctDst, noDst, Stats{Skipped: 1}},
		{"no length", Bytes, noLength, Stats{Skipped: 1}},
		{"no ports needed", Events, noPorts, Stats{Hits: 1}},
		{"no source", Events, noSource, Stats{Skipped: 1}},
		{"no time", Events, noTime, Stats{Skipped: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDetector(t, Spec{Count: tt.count, Over: 0, Within: time.Minute, Except: except})
			d.Observe(tt.p)
			tt.want.Events, tt.want.Capacity = 1, d.Stats().Capacity
			if diff := cmp.Diff(tt.want, d.Stats()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	d := newDetector(t, Spec{Count: DistinctDport, Over: 1000, Within: time.Minute})
	var hit *Hit
	for i := range 1001 {
		hit = d.Observe(probe("192.0.2.1", time.Duration(i), uint16(5000-i)))
	}
	if hit == nil || hit.Count != 1001 {
		t.Fatalf("hit = %+v, want a count of 1001", hit)
	}
	if len(hit.Ports) != maxEvidence || !slices.IsSorted(hit.Ports) || hit.Ports[0] != 4000 {
		t.Errorf("ports = %v, want the latest %d, sorted", hit.Ports, maxEvidence)
	}
}

func TestTrackIsRoundedUp(t *testing.T) {
	d := newDetector(t, Spec{Count: Events, Over: 5, Within: time.Minute, Track: 17})
	if got := d.Stats().Capacity; got != 24 {
		t.Errorf("capacity = %d, want 17 rounded up to 24", got)
	}
}
