package generation

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// remembering is a ruleset with a set that packets fill.
func remembering(change func(*ruleset.Set)) *ruleset.Ruleset {
	s := &ruleset.Set{Name: "seen", Addrs: &ruleset.Addresses{}, Dynamic: true, Keep: true}
	change(s)
	r := only(22)
	r.Sets = append(r.Sets, s)
	return r
}

func asItIs(*ruleset.Set) {}

// fillSeen puts elements into a set of generation n.
func (s *server) fillSeen(n uint64, set string, elements ...nft.Element) {
	s.t.Helper()
	tx := s.nft.Begin()
	tx.AddElements(nft.Table{Family: nft.Inet, Name: ruleset.Table(n)}, set, elements)
	must(s.t, tx.Commit())
}

// seen lists a set of generation n: its addresses, and what is left of their times, in whole hours rounded up.
func (s *server) seen(n uint64, set string) map[string]int {
	s.t.Helper()
	elements, err := s.nft.Elements(nft.Table{Family: nft.Inet, Name: ruleset.Table(n)}, set)
	must(s.t, err)
	out := map[string]int{}
	for _, e := range elements {
		out[e.Prefix.Addr().String()] = int((e.Expires + time.Hour - 1) / time.Hour)
	}
	return out
}

func (s *server) applyKept(change func(*ruleset.Set)) Generation {
	s.t.Helper()
	var g Generation
	s.in(func() (err error) {
		g, err = s.m.Apply(s.t.Context(), Request{Ruleset: remembering(change), Confirm: long, Fallback: FallbackPrevious})
		return err
	})
	return g
}

func element(addr string, life time.Duration) nft.Element {
	a := netip.MustParseAddr(addr)
	return nft.Element{Prefix: netip.PrefixFrom(a, a.BitLen()), Timeout: life}
}

// TestKeep: what a set holds goes over to the next generation, and comes not back with a trial.
func TestKeep(t *testing.T) {
	s := newServer(t)
	s.applyKept(asItIs)
	s.mustConfirm()
	s.fillSeen(1, "seen4", element("192.0.2.7", 5*time.Hour), element("192.0.2.8", 0))
	s.fillSeen(1, "seen6", element("2001:db8::7", 2*time.Hour))
	if g := s.applyKept(asItIs); len(g.Notes) > 0 {
		t.Errorf("notes: %q", g.Notes)
	}
	first := map[string]int{"192.0.2.7": 5, "192.0.2.8": 0}
	for _, n := range []uint64{1, 2} {
		if diff := cmp.Diff(first, s.seen(n, "seen4")); diff != "" {
			t.Errorf("generation %d:\n%s", n, diff)
		}
	}
	if diff := cmp.Diff(map[string]int{"2001:db8::7": 2}, s.seen(2, "seen6")); diff != "" {
		t.Error(diff)
	}

	// A trial that takes a trial's place takes its content over; rolled back, it leaves the confirmed one's as it is.
	s.fillSeen(2, "seen4", element("192.0.2.9", time.Hour))
	s.applyKept(asItIs)
	if diff := cmp.Diff(map[string]int{"192.0.2.7": 5, "192.0.2.8": 0, "192.0.2.9": 1}, s.seen(3, "seen4")); diff != "" {
		t.Errorf("the second trial:\n%s", diff)
	}
	s.in(func() error { return s.m.Rollback(t.Context(), 0) })
	if diff := cmp.Diff(first, s.seen(1, "seen4")); diff != "" {
		t.Errorf("after the rollback:\n%s", diff)
	}

	// What elements have left runs on, and a set that keeps nothing starts empty.
	s.applyKept(func(k *ruleset.Set) { k.Keep = false })
	if got := s.seen(4, "seen4"); len(got) > 0 {
		t.Errorf("a set without keep took over %v", got)
	}
}

// TestKeepTimes: what was taken over has no more time than it had left.
func TestKeepTimes(t *testing.T) {
	s := newServer(t)
	s.applyKept(asItIs)
	s.mustConfirm()
	s.fillSeen(1, "seen4", element("192.0.2.7", time.Hour))
	left := func(n uint64) time.Duration {
		t.Helper()
		e, ok, err := s.nft.Element(nft.Table{Family: nft.Inet, Name: ruleset.Table(n)}, "seen4", element("192.0.2.7", 0).Prefix)
		if err != nil || !ok {
			t.Fatalf("generation %d: %v, %v", n, ok, err)
		}
		return e.Expires
	}
	time.Sleep(50 * time.Millisecond) // more than what the kernel's clock is off
	before := left(1)
	s.applyKept(func(k *ruleset.Set) { k.Timeout = 5 * time.Hour })
	if after := left(2); after > before {
		t.Errorf("it had %s left, and has %s now", before, after)
	}
}

// TestKeepOther: what cannot be taken over is said, and is no reason to refuse an apply.
func TestKeepOther(t *testing.T) {
	s := newServer(t)
	fixed := &ruleset.Set{Name: "seen", Addrs: &ruleset.Addresses{}}
	r := only(22)
	r.Sets = append(r.Sets, fixed)
	must(t, s.applyRuleset(r))
	s.mustConfirm()
	g := s.applyKept(asItIs)
	if got := fmt.Sprint(g.Notes); strings.Count(got, "it was filled by the policy before, so it starts empty") != 2 {
		t.Errorf("notes: %s", got)
	}
	s.mustConfirm()
	s.fillSeen(2, "seen4", element("192.0.2.7", time.Hour), element("192.0.2.8", 3*time.Hour), element("192.0.2.9", 0))
	g = s.applyKept(func(k *ruleset.Set) { k.Size = 2 })
	if got := fmt.Sprint(g.Notes); !strings.Contains(got, "held 3 addresses, and the new one has room for 2") {
		t.Errorf("notes: %s", got)
	}
	if diff := cmp.Diff(map[string]int{"192.0.2.8": 3, "192.0.2.9": 0}, s.seen(3, "seen4")); diff != "" {
		t.Error(diff)
	}
}
