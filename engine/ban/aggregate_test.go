package ban

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// targets lists what is banned.
func targets(t testing.TB, b *Book) []string {
	t.Helper()
	var out []string
	for _, l := range listBans(t, b) {
		out = append(out, l.Target)
	}
	return out
}

// TestAggregation bans /64s and addresses until the prefix around them is, and sees what that lets through.
func TestAggregation(t *testing.T) {
	for _, tt := range []struct {
		name   string
		by     Aggregation
		member string // with the number of the offender
		wide   string
		after  int // offenders that make it
	}{
		{"a /56", DefaultAggregation(), "2001:db8:1:%x::/64", "2001:db8:1::/56", 5},
		{"a /48, with each /64 in a /56 of its own", DefaultAggregation(), "2001:db8:1:%x00::/64", "2001:db8:1::/48", 17},
		{"no /48 where only /56 may be", Aggregation{Bits6: 56, Over: 4}, "2001:db8:1:%x00::/64", "", 0},
		{"no IPv4 prefix unless asked for", DefaultAggregation(), "192.0.2.%d", "", 0},
		{"an IPv4 /24", Aggregation{Bits4: 24, Over: 2}, "192.0.2.%d", "192.0.2.0/24", 3},
		{"none", Aggregation{}, "2001:db8:1:%x::/64", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t, Config{})
			must(t, b.Aggregate(tt.by))
			for i := 1; i <= 30; i++ {
				mustBanOrDuplicate(t, b, ask(fmt.Sprintf(tt.member, i), ladder...))
				got := slices.Contains(targets(t, b), tt.wide)
				if want := tt.after > 0 && i >= tt.after; got != want {
					t.Fatalf("after %d offenders: %s banned %v, want %v: %s", i, tt.wide, got, want, targets(t, b))
				}
			}
		})
	}
}

// TestAggregationOnce: of several in one transaction who are too many, the prefix is banned, and told, once.
func TestAggregationOnce(t *testing.T) {
	told := 0
	b := open(t, Config{Booked: func(ban Ban) {
		if ban.Target.Bits() == 56 {
			told++
		}
	}})
	must(t, b.Aggregate(DefaultAggregation()))
	for i := range 9 {
		b.Submit(ask(fmt.Sprintf("2001:db8:1:%x::/64", i), time.Hour))
	}
	b.Flush(t.Context())
	if got := targets(t, b); told != 1 || !slices.Contains(got, "2001:db8:1::/56") {
		t.Errorf("told %d times; banned are %s", told, got)
	}
}

// TestAggregationNarrowed: where an address in a banned prefix becomes protected, the prefix is free and those in it who offended are not.
func TestAggregationNarrowed(t *testing.T) {
	b := open(t, Config{})
	must(t, b.Aggregate(Aggregation{Bits4: 24, Over: 2}))
	for i := range 3 {
		mustBan(t, b, ask(fmt.Sprintf("192.0.2.%d", i), time.Hour))
	}
	if got := targets(t, b); !slices.Contains(got, "192.0.2.0/24") {
		t.Fatalf("banned are %s", got)
	}
	mustProtect(t, b, "this host", "192.0.2.77")
	if got := targets(t, b); !slices.Equal(got, []string{"192.0.2.0", "192.0.2.1", "192.0.2.2"}) {
		t.Errorf("banned are %s", got)
	}
	if n := b.Stats().Unbanned[UnbannedProtected]; n != 1 {
		t.Errorf("%d bans ended for a protected address", n)
	}
}

// TestAggregationOutlastsRestart: what was counted before is counted, by the Book of the next daemon, by that of the next boot, and under
// the next policy. A person's bans are not.
func TestAggregationOutlastsRestart(t *testing.T) {
	member := func(i int) string { return fmt.Sprintf("2001:db8:1:%x::/64", i) }
	for name, next := range map[string]func(t *testing.T, b *Book) *Book{
		"a daemon": func(t *testing.T, b *Book) *Book {
			next := open(t, Config{NFT: b.nft})
			must(t, next.Aggregate(DefaultAggregation()))
			mustBan(t, next, ask("192.0.2.1", time.Hour)) // before what is in the kernel is known
			runAdopted(t, next)
			return next
		},
		"a boot": func(t *testing.T, b *Book) *Book {
			bans, err := b.Bans(t.Context())
			must(t, err)
			command(t, "flush", "ruleset")
			next := open(t, Config{NFT: b.nft})
			must(t, next.Aggregate(DefaultAggregation()))
			runAdopted(t, next)
			mustBan(t, next, ask("192.0.2.1", time.Hour)) // before what was is back
			r, err := next.Restore(false, nil)
			must(t, err)
			_, err = r.Add(t.Context(), parts(len(bans), bans))
			must(t, err)
			return next
		},
		"a policy": func(t *testing.T, b *Book) *Book {
			must(t, b.Aggregate(DefaultAggregation()))
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Config{})
			must(t, b.Aggregate(DefaultAggregation()))
			for i := range 3 {
				mustBan(t, b, ask(member(i), time.Hour))
			}
			byHand := ask(member(100), time.Hour)
			byHand.Origin = Manual
			mustBan(t, b, byHand)
			b = next(t, b)
			mustBan(t, b, ask(member(3), time.Hour))
			if got := targets(t, b); slices.Contains(got, "2001:db8:1::/56") {
				t.Fatalf("four offenders are too many: %s", got)
			}
			mustBan(t, b, ask(member(4), time.Hour))
			if got := targets(t, b); !slices.Contains(got, "2001:db8:1::/56") {
				t.Errorf("three offenders from before are forgotten: %s", got)
			}
		})
	}
}

func mustBanOrDuplicate(t *testing.T, b *Book, r Request) {
	t.Helper()
	if _, err := b.Ban(t.Context(), r); err != nil && !errors.Is(err, ErrDuplicate) {
		t.Fatal(err)
	}
}

// TestAggregationEscalates: the prefix gets the step of the ladder that the offender had who was one too many.
func TestAggregationEscalates(t *testing.T) {
	b := open(t, Config{})
	must(t, b.Aggregate(Aggregation{Bits4: 24, Over: 1}))
	must(t, b.Remember([]Offence{{prefix("192.0.2.2"), 2, time.Now()}}))
	mustBan(t, b, ask("192.0.2.1", ladder...))
	mustBan(t, b, ask("192.0.2.2", ladder...))
	wantBans(t, b,
		listed{"192.0.2.0/24", 3 * time.Hour, "portscan", "2 and more of its addresses: 11 ports in 2s", Local},
		local("192.0.2.1", time.Hour), local("192.0.2.2", 3*time.Hour))
}

// TestAggregationSpares: across a protected address there is no ban of a prefix, a narrower one takes its place, and it is said once.
func TestAggregationSpares(t *testing.T) {
	var storms []Storm
	b := open(t, Config{Storm: func(s Storm) { storms = append(storms, s) }})
	must(t, b.Aggregate(Aggregation{Bits6: 48, Over: 1}))
	must(t, b.Protect(t.Context(), "policy", prefixes("2001:db8:1:ff00::1")))
	for i := range 8 {
		mustBanOrDuplicate(t, b, ask(fmt.Sprintf("2001:db8:1:%x::/64", i), time.Hour))
	}
	got := targets(t, b)
	if !slices.Contains(got, "2001:db8:1::/56") || slices.Contains(got, "2001:db8:1::/48") {
		t.Errorf("banned are %s", got)
	}
	mustBanOrDuplicate(t, b, ask("2001:db8:1:ff01::/64", time.Hour)) // the /56 of the protected one
	mustBanOrDuplicate(t, b, ask("2001:db8:1:ff02::/64", time.Hour))
	if got := targets(t, b); !slices.Contains(got, "2001:db8:1:ff02::/64") || slices.Contains(got, "2001:db8:1:ff00::/56") {
		t.Errorf("banned are %s", got)
	}
	if len(storms) != 1 || storms[0].Reason != SuppressedProtected || !strings.Contains(storms[0].Err.Error(), "2001:db8:1:ff00::1 is protected by policy") {
		t.Errorf("told %+v, want one storm that names the protected address", storms)
	}
}

// TestAggregationCountsWhoIsBanned: bans that were lifted or are over blame nobody, and a person's bans never do.
func TestAggregationCountsWhoIsBanned(t *testing.T) {
	c := &clock{}
	b := open(t, Config{Now: c.now})
	must(t, b.Aggregate(Aggregation{Bits4: 24, Over: 1}))
	mustBan(t, b, ask("192.0.2.1", time.Hour))
	must(t, b.Unban(t.Context(), prefix("192.0.2.1")))
	mustBan(t, b, ask("192.0.2.2", time.Hour))
	c.ahead = 2 * time.Hour
	manual := ask("192.0.2.3", time.Hour)
	manual.Origin = Manual
	mustBan(t, b, manual)
	mustBan(t, b, ask("192.0.2.4", time.Hour))
	if got := targets(t, b); slices.Contains(got, "192.0.2.0/24") {
		t.Errorf("banned are %s", got)
	}
}

// TestAggregationDrops sends packets from the neighbours of those who offended.
func TestAggregationDrops(t *testing.T) {
	n := connectFar(t)
	b := open(t, Config{})
	must(t, b.Aggregate(Aggregation{Bits4: 24, Bits6: 56, Over: 1}))
	n.want(t, true, "198.51.100.130", "2001:db8:0:2::2")
	for _, target := range []string{"198.51.100.2", "198.51.100.3", "2001:db8:0:1::/64", "2001:db8:0:3::/64"} {
		mustBan(t, b, ask(target, time.Hour))
	}
	n.want(t, false, "198.51.100.130", "2001:db8:0:2::2")
	n.want(t, true, "192.0.2.2", "2001:db8:8000::2")
}

func TestBadAggregation(t *testing.T) {
	b := open(t, Config{})
	for _, a := range []Aggregation{
		{Bits4: 8, Over: 1}, {Bits4: 31, Over: 1}, {Bits6: 64, Over: 1}, {Bits6: 32, Over: 1}, {Bits6: 48}, {Bits6: 48, Over: -1}, {Bits6: 48, Over: MaxOver + 1},
	} {
		if err := b.Aggregate(a); err == nil {
			t.Errorf("%+v was taken", a)
		}
	}
}

// TestCrowdsAreBounded: forged sources without end fill no memory.
func TestCrowdsAreBounded(t *testing.T) {
	var c crowds
	for i := range 100_000 {
		at := targetOf(prefix(fmt.Sprintf("2001:db8:%x:%x::/64", i>>12, i&0xfff)))
		c.join(at, step{48, 16}, time.Hour, 0)
		if n := len(c.latest) + len(c.earlier); n > maxCrowds {
			t.Fatalf("%d crowds are remembered", n)
		}
		if n := len(c.latest[at.shorten(48)]); n > 17 {
			t.Fatalf("a crowd of %d", n)
		}
	}
}
