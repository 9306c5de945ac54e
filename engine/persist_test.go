package engine

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/ban"
	"moonlatch/engine/store"
)

// TestReadBans leaves out what was on trial, what has ended, and what would ban this host.
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
	keep("192.0.2.7/32", time.Hour, false)
	keep("192.0.2.0/24", time.Hour, false)
	keep("2001:db8::/64", time.Hour, false)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	own := []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::7/128")}
	parts, done := make(chan []ban.Ban, 1), make(chan []ban.Ban, 2)
	done <- nil
	done <- nil
	if err := readBans(context.Background(), s, own, parts, done); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range <-parts {
		got = append(got, b.Target.String())
	}
	if d := cmp.Diff([]string{"198.51.100.1/32"}, got); d != "" {
		t.Error(d)
	}
}
