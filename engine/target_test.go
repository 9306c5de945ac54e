package engine

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/ban"
	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/nft"
	"moonlatch/engine/policy"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// openBook returns a ban book in the tests' private namespace that protects a
// host of 2001:db8:1::/64 and one of 198.51.100.0/24.
func openBook(t *testing.T) *ban.Book { return openBookOf(t, ban.Config{}) }

func openBookOf(t *testing.T, cfg ban.Config) *ban.Book {
	t.Helper()
	netnstest.Kernel(t)
	c, err := nft.Open(nft.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.NFT = c
	b, err := ban.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		c.Close()
		if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
			t.Errorf("nft flush ruleset: %v\n%s", err, out)
		}
	})
	protected := []netip.Prefix{netip.MustParsePrefix("2001:db8:1::1/128"), netip.MustParsePrefix("198.51.100.7/32")}
	if err := b.Protect(t.Context(), "test", protected); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSourceTarget(t *testing.T) {
	b := openBook(t)
	for _, tt := range []struct{ source, want string }{
		{"203.0.113.9/32", "203.0.113.9/32"},
		{"203.0.113.9/24", "203.0.113.0/24"},
		{"198.51.100.9/24", "198.51.100.9/32"}, // its /24 is also a protected address's
		{"2001:db8:2::9/64", "2001:db8:2::/64"},
		{"2001:db8:1::9/64", "2001:db8:1::9/128"},
		{"2001:db8:1:8::9/48", "2001:db8:1:8::9/128"},
		{"2001:db8:1:8::9/64", "2001:db8:1:8::/64"},
		{"fe80::9/64", "fe80::9/128"},
	} {
		if got := sourceTarget(b, netip.MustParsePrefix(tt.source)); got.String() != tt.want {
			t.Errorf("%s: %s, want %s", tt.source, got, tt.want)
		}
	}
	for addr, want := range map[string]string{"203.0.113.9": "203.0.113.9/32", "2001:db8::9": "2001:db8::9/64"} {
		if got := source(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("source of %s: %s, want %s", addr, got, want)
		}
	}
}

// A policy's ban of an IPv6 address is of its /64, or of the address alone
// where the /64 is also a protected address's; and it can take back either.
func TestPolicyBansNeighbourOfProtected(t *testing.T) {
	for _, tt := range []struct{ target, banned, refused string }{
		{target: "2001:db8:2::9/64", banned: "2001:db8:2::/64"},
		{target: "2001:db8:1::9/64", banned: "2001:db8:1::9/128"},
		{target: "2001:db8:1::/64", refused: "2001:db8:1::1 is protected"},  // the policy means the prefix
		{target: "2001:db8:1::1/64", refused: "2001:db8:1::1 is protected"}, // the protected address itself
		{target: "203.0.113.9/32", banned: "203.0.113.9/32"},
	} {
		t.Run(tt.target, func(t *testing.T) {
			b := openBook(t)
			a, target := actions{b}, netip.MustParsePrefix(tt.target)
			err := a.Ban(policy.Ban{Target: target, Times: []time.Duration{time.Hour}, Why: "test", By: "test"})
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, want %s", err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.banned}, bannedBy(t, b)); diff != "" {
				t.Error(diff)
			}
			if err := a.Unban(target); err != nil {
				t.Error(err)
			}
			if left := bannedBy(t, b); len(left) > 0 {
				t.Errorf("still banned: %s", left)
			}
			if err := a.Unban(target); err == nil || !strings.Contains(err.Error(), "is not banned") {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

func bannedBy(t *testing.T, b *ban.Book) []string {
	t.Helper()
	all, err := b.Bans(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, one := range all {
		out = append(out, one.Target.String())
	}
	slices.Sort(out)
	return out
}
