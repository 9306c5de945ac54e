package ban

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"moonlatch/engine/nft"
)

// TestSplit bans a prefix but for what is protected in it, whatever set its parts belong in, and lifts it as one.
func TestSplit(t *testing.T) {
	b := open(t, Config{})
	mustProtect(t, b, "policy", "203.0.113.9", "2001:db8::7")
	byHand := func(target string) Request {
		r := ask(target, time.Hour)
		r.Origin, r.By = Manual, "manual"
		return r
	}
	for _, tt := range []struct {
		target, spare string
		parts         int // 0 for any
		banned, not   []string
	}{
		{"203.0.113.0/24", "203.0.113.1", 10, []string{"203.0.113.0", "203.0.113.8", "203.0.113.10", "203.0.113.255"}, []string{"203.0.113.9", "203.0.113.1", "203.0.112.255"}},
		{"2001:db8::/64", "192.0.2.1", 64, []string{"2001:db8::6", "2001:db8::8", "2001:db8::ffff:0:0:0"}, []string{"2001:db8::7", "2001:db8:0:1::"}},
		{"2001:db8::/48", "2001:db8:0:1::1", 0, nil, nil},
		{"198.51.100.0/30", "192.0.2.1", 1, []string{"198.51.100.3"}, nil},
	} {
		s, err := b.BanSplit(t.Context(), byHand(tt.target), prefixes(tt.spare))
		if err != nil || tt.parts > 0 && len(s.Bans) != tt.parts {
			t.Errorf("%s: %d parts, want %d, %v", tt.target, len(s.Bans), tt.parts, err)
		}
		for _, addr := range slices.Concat(tt.banned, tt.not) {
			_, banned, err := b.Lookup(t.Context(), prefix(addr).Addr())
			if err != nil || banned != slices.Contains(tt.banned, addr) {
				t.Errorf("%s: %s banned %v, %v", tt.target, addr, banned, err)
			}
		}
		if n, err := b.UnbanWithin(t.Context(), prefix(tt.target)); err != nil || n != len(s.Bans) {
			t.Errorf("%s: %d lifted, %v", tt.target, n, err)
		}
	}
	wantBans(t, b)
	if _, err := b.BanSplit(t.Context(), byHand("203.0.113.9"), nil); !errors.Is(err, ErrProtected) {
		t.Errorf("nothing is left of it: %v", err)
	}
}

// TestSplitRefused: where some part cannot be banned, none is, and one that would be too many parts is refused.
func TestSplitRefused(t *testing.T) {
	b := open(t, Config{})
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("203.0.%d.9", i))
	}
	mustProtect(t, b, "policy", many...)
	if _, err := b.BanSplit(t.Context(), ask("203.0.0.0/16", time.Hour), nil); !errors.Is(err, ErrProtected) {
		t.Errorf("hundreds of parts: %v", err)
	}
	command(t, "delete table inet moonlatch; table inet moonlatch { set banned4net { type ipv4_addr; flags interval,timeout; size 6; }; set banned4 { type ipv4_addr; flags timeout; }; }")
	if _, err := b.BanSplit(t.Context(), ask("203.0.113.0/24", time.Hour), nil); !errors.Is(err, nft.ErrFull) {
		t.Errorf("no room: %v", err)
	}
	for _, s := range []set{banned4, banned4net} {
		if all, err := elements(b.nft, s); err != nil || len(all) > 0 {
			t.Errorf("%s holds %v, %v", s, all, err)
		}
	}
}
