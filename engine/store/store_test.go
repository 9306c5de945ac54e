package store

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	noon     = time.Now().UTC().Truncate(time.Minute).Add(-10 * time.Minute)
	attacker = netip.MustParseAddr("203.0.113.9")
)

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newStore opens a Store in a folder of its own.
func newStore(t testing.TB) *Store {
	t.Helper()
	return openIn(t, Config{Dir: t.TempDir(), Daemon: true})
}

func openIn(t testing.TB, cfg Config) *Store {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := Open(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *Store) history(t testing.TB, f Filter) []Entry {
	t.Helper()
	must(t, s.Flush(t.Context()))
	all, err := s.History(t.Context(), f)
	must(t, err)
	return all
}

func (s *Store) inForce(t testing.TB) (all []Ban) {
	t.Helper()
	must(t, s.Flush(t.Context()))
	must(t, s.Bans(t.Context(), time.Now(), func(b Ban) bool { all = append(all, b); return true }))
	return all
}

var aBan = Entry{
	Time: noon, Kind: Banned, Target: host(attacker), Until: noon.Add(time.Hour), Origin: "local", By: "portscan",
	Why: "11 ports in 10ms", Evidence: "ports 21-31", Policy: "web.lua", Generation: 7,
}

// TestHistory records one entry of each kind and finds it again as it was.
func TestHistory(t *testing.T) {
	s := newStore(t)
	entries := []Entry{
		aBan,
		{Time: noon.Add(time.Second), Kind: Banned, Target: netip.MustParsePrefix("2001:db8:bad::/48"), Origin: "manual", By: "ann"},
		{Time: noon.Add(2 * time.Second), Kind: Unbanned, Target: host(attacker), Why: "request", By: "ann"},
		{Time: noon.Add(3 * time.Second), Kind: Applied, Until: noon.Add(time.Minute), Policy: "web.lua", Generation: 8, Digest: "abc", By: "ann"},
		{Time: noon.Add(4 * time.Second), Kind: Audited, UID: 0, PID: 77, Command: "ban", Outcome: "ok"},
	}
	for _, e := range entries {
		s.Record(e)
	}
	for name, c := range map[string]struct {
		filter Filter
		want   []int
	}{
		"all":              {Filter{}, []int{4, 3, 2, 1, 0}},
		"limit":            {Filter{Limit: 2}, []int{4, 3}},
		"kinds":            {Filter{Kinds: []Kind{Banned, Unbanned}}, []int{2, 1, 0}},
		"address":          {Filter{Target: host(attacker)}, []int{2, 0}},
		"prefix around":    {Filter{Target: netip.MustParsePrefix("203.0.112.0/22")}, []int{2, 0}},
		"address within":   {Filter{Target: netip.MustParsePrefix("2001:db8:bad:1::1/128")}, []int{1}},
		"address outside":  {Filter{Target: netip.MustParsePrefix("203.0.113.8/32")}, nil},
		"other family":     {Filter{Target: netip.MustParsePrefix("cb00:7100::/24")}, nil}, // the same first bytes as the attacker's
		"since":            {Filter{Since: noon.Add(3 * time.Second)}, []int{4, 3}},
		"until":            {Filter{Until: noon.Add(time.Second)}, []int{0}},
		"policy":           {Filter{Policy: "web.lua"}, []int{3, 0}},
		"detector":         {Filter{Policy: "portscan"}, []int{0}},
		"all in one":       {Filter{Policy: "portscan", Kinds: []Kind{Banned}, Target: host(attacker), Since: noon, Limit: 9}, []int{0}},
		"after the second": {Filter{Before: 4}, []int{2, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var want []Entry
			for _, i := range c.want {
				want = append(want, entries[i])
			}
			if d := cmp.Diff(want, s.history(t, c.filter), cmpopts.IgnoreFields(Entry{}, "ID"), cmp.Comparer(samePrefix)); d != "" {
				t.Error(d)
			}
		})
	}
}

func samePrefix(x, y netip.Prefix) bool { return x == y }

// TestBansInForce follows what is kept and forgotten.
func TestBansInForce(t *testing.T) {
	s := newStore(t)
	bans := []Ban{
		{Target: netip.MustParsePrefix("198.51.100.0/24"), Since: noon, Origin: "manual", By: "ann"},
		{Target: host(attacker), Since: noon, Until: noon.Add(time.Hour), Origin: "local", By: "portscan", Why: "11 ports in 10ms", Trial: true},
		{Target: netip.MustParsePrefix("2001:db8::/64"), Since: noon, Until: noon.Add(time.Hour), Origin: "local", By: "portscan"},
	}
	for _, b := range bans {
		s.Keep(b)
	}
	s.Keep(Ban{Target: netip.MustParsePrefix("192.0.2.1/32"), Since: noon, Until: noon}) // over
	same := func(want ...Ban) {
		t.Helper()
		if d := cmp.Diff(want, s.inForce(t), cmp.Comparer(samePrefix), cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
	}
	same(bans...)
	bans[1].Until, bans[1].Trial = noon.Add(2*time.Hour), false
	s.Keep(bans[1])
	same(bans...)
	s.Forget(bans[0].Target)
	same(bans[1:]...)
	s.ForgetAll()
	same()
	if n := len(s.history(t, Filter{})); n != 0 {
		t.Errorf("%d entries; what is kept and forgotten is no history", n)
	}
}

// TestTop counts packets and bans.
func TestTop(t *testing.T) {
	s := newStore(t)
	observe := func(n int, src string, dport uint16) {
		for range n {
			s.Observe(&Event{Time: noon, Stream: "closed", Rule: "closed", Src: netip.MustParseAddr(src), Proto: 6, Dport: dport})
		}
	}
	observe(3, "203.0.113.9", 22)
	observe(2, "203.0.113.9", 23)
	observe(1, "2001:db8::1", 23)
	observe(1, "2001:db8::2", 23)
	s.Record(aBan)
	s.Keep(Ban{Target: aBan.Target, Since: noon, Until: aBan.Until, By: "portscan"})
	top := func(of Dimension) (out []Total) {
		all, err := s.Top(t.Context(), of, noon.Add(-time.Hour), 10)
		must(t, err)
		for _, x := range all {
			x.Last = time.Time{}
			out = append(out, x)
		}
		return out
	}
	for of, want := range map[Dimension][]Total{
		Sources:  {{Name: "203.0.113.9", Events: 5, Bans: 1, Detail: "22/tcp,23/tcp"}, {Name: "2001:db8::/64", Events: 2, Detail: "23/tcp"}},
		Ports:    {{Name: "23/tcp", Events: 4}, {Name: "22/tcp", Events: 3}},
		Policies: {{Name: "portscan", Bans: 1}},
	} {
		if d := cmp.Diff(want, top(of)); d != "" {
			t.Errorf("%s: %s", of, d)
		}
	}
	k, err := s.About(t.Context(), attacker)
	must(t, err)
	if k.Ban == nil || k.Ban.By != "portscan" || len(k.Entries) != 1 || len(k.Packets) != 5 || k.Events != 5 || k.Packets[0].Dport != 23 {
		t.Errorf("about %s: %+v", attacker, k)
	}
	points, err := s.Timeline(t.Context(), noon.Add(-time.Minute), time.Now(), time.Minute)
	must(t, err)
	var all Point
	for _, p := range points {
		all.Events, all.Bans = all.Events+p.Events, all.Bans+p.Bans
	}
	if all.Events != 7 || all.Bans != 1 || points[1].Bans != 1 {
		t.Errorf("timeline: %+v", points)
	}
	o, err := s.Offences(t.Context(), noon.Add(-time.Hour), 10)
	must(t, err)
	if len(o) != 1 || o[0].Target != host(attacker) || o[0].Count != 1 {
		t.Errorf("offences: %+v", o)
	}
}
