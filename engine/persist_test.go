package engine

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/store"
)

// TestReadBans leaves out what was on trial and what has ended.
func TestReadBans(t *testing.T) {
	s, err := store.Open(t.Context(), store.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	keep := func(target string, left time.Duration, trial bool) {
		s.Keep(store.Ban{Target: netip.MustParsePrefix(target), Since: now.Add(-time.Hour), Until: now.Add(left), Origin: "local", By: "portscan", Trial: trial})
	}
	keep("198.51.100.1/32", time.Hour, false)
	keep("198.51.100.2/32", time.Hour, true)
	keep("198.51.100.3/32", -time.Second, false)
	keep("2001:db8::/64", time.Hour, false)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := newBanReader(t.Context(), s)
	var got []string
	for bans := r.next(); len(bans) > 0; bans = r.next() {
		for _, b := range bans {
			got = append(got, b.Target.String())
		}
	}
	if d := cmp.Diff([]string{"198.51.100.1/32", "2001:db8::/64"}, got); d != "" || r.err != nil {
		t.Errorf("%v: %s", r.err, d)
	}
}
