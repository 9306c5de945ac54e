package ban

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ladder is what the bans of these tests escalate by.
var ladder = []time.Duration{time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour}

// clock is a time of day that tests set.
type clock struct{ ahead time.Duration }

func (c *clock) now() time.Time { return time.Now().Add(c.ahead) }

// hours returns how many hours a ban was made for.
func hours(b Ban) int { return int(b.Until.Sub(b.Since).Round(time.Hour) / time.Hour) }

// TestPastOffences: an address inherits what was done by a prefix around it, and what was done before this Book was.
func TestPastOffences(t *testing.T) {
	c := &clock{}
	b := open(t, Config{Now: c.now})
	must(t, b.Remember([]Offence{
		{prefix("192.0.2.1"), 2, c.now().Add(-time.Hour)},
		{prefix("198.51.100.0/24"), 1, c.now().Add(-time.Hour)},
		{prefix("203.0.113.1"), 3, c.now().Add(-Forget - time.Minute)},
		{prefix("203.0.113.2"), 3, c.now().Add(time.Hour)}, // by a clock that was ahead
	}))
	for _, f := range b.Offences() {
		if f.Last.After(c.now()) {
			t.Errorf("%s offended in the future", f.Target)
		}
	}
	for target, want := range map[string]int{"192.0.2.1": 3, "192.0.2.2": 1, "198.51.100.9": 2, "203.0.113.1": 1, "203.0.113.2": 4} {
		if ban := mustBan(t, b, ask(target, ladder...)); hours(ban) != want || ban.Offence != want {
			t.Errorf("%s: offence %d, banned for %d h; want %d", target, ban.Offence, hours(ban), want)
		}
	}
	// What it learned can be told to the next Book, and what that knows better stands.
	next := open(t, Config{NFT: b.nft, Now: c.now})
	must(t, next.Remember(b.Offences()))
	must(t, next.Remember([]Offence{{prefix("192.0.2.1"), 1, c.now().Add(-2 * time.Hour)}}))
	find := func(b *Book) []Offence {
		all := b.Offences()
		for i := range all {
			all[i].Last = all[i].Last.Round(time.Minute)
		}
		slices.SortFunc(all, func(x, y Offence) int { return x.Target.Compare(y.Target) })
		return all
	}
	if diff := cmp.Diff(find(b), find(next), cmp.Comparer(func(x, y Offence) bool {
		return x.Target == y.Target && x.Count == y.Count && x.Last.Sub(y.Last).Abs() <= time.Minute
	})); diff != "" {
		t.Error(diff)
	}
	c.ahead = Forget + time.Hour
	if n := len(b.Offences()); n != 0 {
		t.Errorf("%d offences are remembered forever", n)
	}
}

// TestBadMemory: nothing is remembered of a list with an offence that is none.
func TestBadMemory(t *testing.T) {
	b := open(t, Config{})
	for _, bad := range []Offence{{prefix("192.0.2.1"), 0, time.Now()}, {prefix("127.0.0.1"), 1, time.Now()}, {Count: 1}} {
		if err := b.Remember([]Offence{{prefix("192.0.2.2"), 1, time.Now()}, bad}); err == nil {
			t.Errorf("%v was remembered", bad)
		}
	}
	if n := len(b.Offences()); n != 0 {
		t.Errorf("%d offences are remembered", n)
	}
}
