package ban

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestCoreTable reads back with nft what was made.
func TestCoreTable(t *testing.T) {
	b := open(t, Config{})
	out := command(t, "list", "table", "inet", "moonlatch")
	for _, want := range []string{
		"set banned4 {\n\t\ttype ipv4_addr\n\t\tsize 1048576\n\t\tflags timeout",
		"set banned6 {\n\t\ttype ipv6_addr\n\t\tsize 1048576\n\t\tflags timeout",
		"set banned6_64 {\n\t\ttype ipv6_addr\n\t\tsize 1048576\n\t\tflags timeout",
		"set banned4net {\n\t\ttype ipv4_addr\n\t\tsize 131072\n\t\tflags interval,timeout",
		"set banned6net {\n\t\ttype ipv6_addr\n\t\tsize 131072\n\t\tflags interval,timeout",
		"set protected4 {\n\t\ttype ipv4_addr\n\t\tsize 131072\n\t\tflags interval",
		"set protected6 {\n\t\ttype ipv6_addr\n\t\tsize 131072\n\t\tflags interval",
		"counter banned4 {",
		"counter banned6 {",
		"type filter hook prerouting priority raw - 10; policy accept;",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("nft does not list %q:\n%s", want, out)
		}
	}
	if !chainIsFine(t.Context(), b.nft) {
		t.Errorf("the chain as nft lists it is not taken for fine:\n%s", out)
	}
}

// TestOpenChangesNothing: another process must not disturb a live table.
func TestOpenChangesNothing(t *testing.T) {
	b := open(t, Config{})
	mustBan(t, b, ask("192.0.2.1", time.Hour))
	before, err := b.nft.GenID()
	if err != nil {
		t.Fatal(err)
	}
	open(t, Config{NFT: b.nft})
	if after, err := b.nft.GenID(); err != nil || after != before {
		t.Errorf("generation went from %d to %d, %v", before, after, err)
	}
}

func TestOpenMendsTheChain(t *testing.T) {
	for name, damage := range map[string]string{
		"a rule before ours": "insert rule inet moonlatch early accept",
		"no rules":           "flush chain inet moonlatch early",
		"no chain":           "flush chain inet moonlatch early; delete chain inet moonlatch early",
		"another policy":     "add chain inet moonlatch early { policy drop; }",
		"another hook":       "flush chain inet moonlatch early; delete chain inet moonlatch early; add chain inet moonlatch early { type filter hook input priority 0; }",
		"a rule changed":     "flush chain inet moonlatch early; add rule inet moonlatch early ip saddr @banned4 accept",
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Config{})
			mustBan(t, b, ask("192.0.2.1", time.Hour))
			command(t, damage)
			if chainIsFine(t.Context(), b.nft) {
				t.Fatal("the damage is not noticed")
			}
			b = open(t, Config{NFT: b.nft})
			if !chainIsFine(t.Context(), b.nft) {
				t.Errorf("not mended:\n%s", command(t, "list", "table", "inet", "moonlatch"))
			}
			wantBans(t, b, local("192.0.2.1", time.Hour))
		})
	}
}

func TestOpenRefusesAForeignSet(t *testing.T) {
	c := connect(t)
	command(t, "add table inet moonlatch; add set inet moonlatch banned4 { type ipv4_addr; flags interval; }")
	_, err := Open(t.Context(), Config{NFT: c})
	if err == nil || !strings.Contains(err.Error(), "set banned4 of table inet moonlatch is not the one that moonlatch makes") {
		t.Errorf("got %v", err)
	}
}

// TestBansSurviveTheProcess: nothing but the kernel carries them over.
func TestBansSurviveTheProcess(t *testing.T) {
	b := open(t, Config{})
	mustBan(t, b, ask("192.0.2.1", 2*time.Hour))
	mustBan(t, b, manual("198.51.100.0/24", time.Hour))
	mustBan(t, b, ask("2001:db8:0:1::/64", time.Hour))
	command(t, "add element inet moonlatch banned4 { 203.0.113.7 }") // by hand, for good
	next := open(t, Config{})
	wantBans(t, next,
		local("192.0.2.1", 2*time.Hour),
		listed{"198.51.100.0/24", time.Hour, "manual", "enough", Manual},
		listed{"203.0.113.7", 0, "manual", "", Manual},
		local("2001:db8:0:1::/64", time.Hour),
	)
	banned := []string{"192.0.2.1", "198.51.100.7", "203.0.113.7", "2001:db8:0:1::5"}
	for _, target := range banned {
		if _, err := next.Ban(t.Context(), ask(target, time.Minute)); !errors.Is(err, ErrDuplicate) {
			t.Errorf("%s is not recognised as banned: %v", target, err)
		}
	}
	next = open(t, Config{})
	run(t, next)
	eventually(t, func() bool { return next.Stats().Adopted })
	for _, target := range banned {
		if !next.Submit(ask(target, time.Minute)) {
			t.Errorf("%s was dropped", target)
		}
	}
	if got := next.Stats().Suppressed[SuppressedDuplicate]; got != 4 {
		t.Errorf("%d of 4 recognised as duplicates", got)
	}
	want := map[Kind]int{{IPv4, Local}: 1, {IPv4, Manual}: 2, {IPv6, Local}: 1, {IPv6, Manual}: 0}
	for kind, n := range want {
		if got := next.Stats().InForce[kind]; got != n {
			t.Errorf("in force: %d of %v, want %d", got, kind, n)
		}
	}
	r := ask("192.0.2.1", time.Minute, 3*time.Hour)
	if _, err := next.Ban(t.Context(), r); !errors.Is(err, ErrDuplicate) {
		t.Errorf("got %v, want a duplicate: it is still the same offence", err)
	}
	must(t, next.Unban(t.Context(), r.Target))
	if ban := mustBan(t, next, r); ban.Until.Sub(ban.Since).Round(time.Minute) != 3*time.Hour {
		t.Errorf("banned until %s: an adopted ban does not count as an offence", ban.Until)
	}
}

func TestKernelEndsBans(t *testing.T) {
	b := open(t, Config{})
	mustBan(t, b, ask("192.0.2.1", 300*time.Millisecond))
	mustBan(t, b, ask("198.51.100.0/24", 300*time.Millisecond))
	mustBan(t, b, ask("203.0.113.1", time.Hour))
	eventually(t, func() bool { return len(listBans(t, b)) == 1 })
	eventually(t, func() bool {
		b.index.sweep(b.clock(), 0)
		return b.Stats().InForce[Kind{IPv4, Local}] == 1
	})
	time.Sleep(rounding)
	mustBan(t, b, ask("198.51.100.0/25", time.Hour))
	mustBan(t, b, ask("192.0.2.1", time.Hour))
	if len(b.prefixes) != 1 {
		t.Errorf("%d bans of prefixes are remembered, want 1", len(b.prefixes))
	}
}

func eventually(t testing.TB, what func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !what(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("did not happen within a minute")
		}
	}
}

// TestMend: after somebody's `nft flush ruleset`, the next ban brings all back, and so does Mend.
func TestMend(t *testing.T) {
	for name, trigger := range map[string]func(*Book) error{
		"Mend":    func(b *Book) error { _, err := b.Mend(t.Context()); return err },
		"Ban":     func(b *Book) error { _, err := b.Ban(t.Context(), ask("203.0.113.9", time.Hour)); return err },
		"Protect": func(b *Book) error { return b.Protect(t.Context(), "policy", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Config{})
			if err := b.Protect(t.Context(), "host", prefixes("203.0.113.1")); err != nil {
				t.Fatal(err)
			}
			mustBan(t, b, ask("192.0.2.1", time.Hour))
			mustBan(t, b, ask("198.51.100.0/24", time.Hour))
			mustBan(t, b, ask("198.51.100.64/26", 2*time.Hour))
			command(t, "flush", "ruleset")
			if err := trigger(b); err != nil {
				t.Fatal(err)
			}
			got := listBans(t, b)
			want := []listed{
				{"192.0.2.1", time.Hour, "portscan", "restored, its reason was lost with the table", Local},
				local("198.51.100.0/24", time.Hour), local("198.51.100.64/26", 2*time.Hour),
			}
			if name == "Ban" {
				want = append(want, local("203.0.113.9", time.Hour))
			}
			wantBans(t, b, want...)
			if _, ok := elementsOf(t, b.nft, protected4)["203.0.113.1/32"]; !ok || len(got) == 0 {
				t.Error("the protected address is gone")
			}
			if again, err := b.Mend(t.Context()); again || err != nil {
				t.Errorf("mended a whole table: %t, %v", again, err)
			}
		})
	}
}
