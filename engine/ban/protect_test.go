package ban

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, prefix(s))
	}
	return out
}

func mustProtect(t testing.TB, b *Book, owner string, list ...string) {
	t.Helper()
	if err := b.Protect(t.Context(), owner, prefixes(list...)); err != nil {
		t.Fatal(err)
	}
}

func wantProtectedSet(t testing.TB, b *Book, want ...string) {
	t.Helper()
	got := elementsOf(t, b.nft, protected4)
	for p := range elementsOf(t, b.nft, protected6) {
		got[p] = 0
	}
	for _, p := range want {
		if _, ok := got[p]; !ok {
			t.Errorf("%s is not protected in the kernel, which has %v", p, got)
		}
		delete(got, p)
	}
	if len(got) > 0 {
		t.Errorf("protected in the kernel for no reason: %v", got)
	}
}

func TestProtectedIsNotBanned(t *testing.T) {
	b := open(t, Config{})
	mustProtect(t, b, "policy", "192.0.2.0/28", "2001:db8::7")
	for _, target := range []string{"192.0.2.5", "192.0.2.0/24", "192.0.2.0/29", "::ffff:192.0.2.5", "2001:db8::7", "2001:db8::/64", "2001:db8::/32"} {
		_, err := b.Ban(t.Context(), ask(target, time.Hour))
		if !errors.Is(err, ErrProtected) || !strings.Contains(err.Error(), "policy") {
			t.Errorf("%s: %v, want ErrProtected that names the owner", target, err)
		}
		if b.Submit(ask(target, time.Hour)) || len(b.queue) > 0 {
			t.Errorf("%s was queued", target)
		}
	}
	if got := b.Stats().Suppressed[SuppressedProtected]; got != 14 {
		t.Errorf("counted %d refusals, want 14", got)
	}
	mustBan(t, b, ask("192.0.2.16", time.Hour))
	mustBan(t, b, ask("2001:db8::8", time.Hour))
}

// TestProtectedWhileQueued: what was queued before its target became protected is not banned either.
func TestProtectedWhileQueued(t *testing.T) {
	b := open(t, Config{})
	if !b.Submit(ask("192.0.2.5", time.Hour)) {
		t.Fatal("not queued")
	}
	mustProtect(t, b, "policy", "192.0.2.5")
	b.Flush(t.Context())
	wantBans(t, b)
}

func TestProtectLiftsBans(t *testing.T) {
	b := open(t, Config{})
	mustProtect(t, b, "policy", "203.0.113.1")
	for _, target := range []string{"192.0.2.5", "192.0.2.200", "198.51.100.0/24", "2001:db8:0:1::/64", "2001:db8:0:2::/64"} {
		mustBan(t, b, ask(target, time.Hour))
	}
	mustProtect(t, b, "session", "192.0.2.0/28", "198.51.100.9", "2001:db8:0:1::abcd")
	wantBans(t, b, local("192.0.2.200", time.Hour), local("2001:db8:0:2::/64", time.Hour))
	if got := b.Stats().Unbanned[UnbannedProtected]; got != 3 {
		t.Errorf("counted %d, want 3", got)
	}
}

func TestProtectMergesOwners(t *testing.T) {
	b := open(t, Config{})
	mustProtect(t, b, "policy", "192.0.2.0/25", "198.51.100.7")
	mustProtect(t, b, "host", "192.0.2.128/25", "192.0.2.5", "::ffff:203.0.113.1")
	wantProtectedSet(t, b, "192.0.2.0/24", "198.51.100.7/32", "203.0.113.1/32")
	mustProtect(t, b, "policy", "198.51.100.7")
	wantProtectedSet(t, b, "192.0.2.5/32", "192.0.2.128/25", "198.51.100.7/32", "203.0.113.1/32")
	mustProtect(t, b, "policy")
	mustProtect(t, b, "host")
	wantProtectedSet(t, b)
	mustBan(t, b, ask("192.0.2.5", time.Hour))
	mustProtect(t, b, "policy", "0.0.0.0/0", "::/0")
	wantProtectedSet(t, b, "0.0.0.0/0", "::/0")
	wantBans(t, b)
}

// TestProtectLeavesOthersAlone: a process that comes by takes nobody's protection away.
func TestProtectLeavesOthersAlone(t *testing.T) {
	daemon := open(t, Config{})
	mustProtect(t, daemon, "policy", "192.0.2.1", "192.0.2.2")
	visitor := open(t, Config{NFT: daemon.nft})
	mustProtect(t, daemon, "session", "192.0.2.3") // unknown to the visitor
	mustProtect(t, visitor, "session", "198.51.100.1")
	wantProtectedSet(t, daemon, "192.0.2.1/32", "192.0.2.2/31", "198.51.100.1/32")
	if _, err := visitor.Ban(t.Context(), ask("192.0.2.1", time.Hour)); !errors.Is(err, ErrProtected) {
		t.Errorf("got %v, want what the kernel protects to be protected", err)
	}
	mustProtect(t, visitor, "session")
	wantProtectedSet(t, daemon, "192.0.2.1/32", "192.0.2.2/31")

	t.Run("a new daemon drops what is no longer wanted", func(t *testing.T) {
		next := open(t, Config{NFT: daemon.nft})
		mustProtect(t, next, "policy", "192.0.2.1")
		wantProtectedSet(t, next, "192.0.2.1/32", "192.0.2.2/31")
		mustProtect(t, next, Kernel)
		wantProtectedSet(t, next, "192.0.2.1/32")
	})
}
