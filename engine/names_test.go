package engine

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"moonlatch/engine/ban"
)

// TestNames: a name is what it resolves to now, and, while it does not, what it resolved to last. One that the next policy does not
// name is given up.
func TestNames(t *testing.T) {
	b := openBook(t)
	n := newProtector(b, slog.New(slog.DiscardHandler), keptNames(t.TempDir())).names
	answer := map[string]string{"a.example": "203.0.113.1", "b.example": "203.0.113.2"}
	n.resolve = func(name string) ([]netip.Addr, error) {
		if answer[name] == "" {
			return nil, errors.New("no answer")
		}
		return []netip.Addr{netip.MustParseAddr(answer[name])}, nil
	}
	ctx := t.Context()
	want := func(when string, addrs ...string) {
		t.Helper()
		var got []string
		for _, list := range b.Protection() {
			for _, p := range list {
				if p.Overlaps(netip.MustParsePrefix("203.0.113.0/24")) {
					got = append(got, p.Addr().String())
				}
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, addrs) {
			t.Errorf("%s: protected are %q, want %q", when, got, addrs)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(n.protect(ctx, []string{"a.example", "b.example"}))
	if !n.refresh(ctx) {
		t.Error("names that resolve count as failed")
	}
	want("resolved", "203.0.113.1", "203.0.113.2")
	_, err := b.Ban(ctx, ban.Request{Target: netip.MustParsePrefix("203.0.113.77/32"), Times: []time.Duration{time.Hour}, Origin: ban.Manual})
	must(err)
	answer["a.example"], answer["b.example"] = "203.0.113.77", ""
	if n.refresh(ctx) {
		t.Error("a name that does not resolve is not tried again soon")
	}
	want("one moved, one does not resolve", "203.0.113.2", "203.0.113.77")
	if got := bannedBy(t, b); len(got) > 0 {
		t.Errorf("%s is banned still", got)
	}
	must(n.protect(ctx, []string{"b.example"}))
	want("another policy", "203.0.113.2")
}
