package ban

import (
	"fmt"
	"testing"
	"time"

	"moonlatch/engine/nft"
)

// elementsOf returns what the kernel holds in a set, with the hours left.
func elementsOf(t testing.TB, c *nft.Client, s set) map[string]time.Duration {
	t.Helper()
	elements, err := c.Elements(core(), string(s))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]time.Duration)
	for _, e := range elements {
		out[e.Prefix.String()] = e.Expires.Round(time.Minute)
	}
	return out
}

func wantElements(t testing.TB, b *Book, s set, want map[string]time.Duration) {
	t.Helper()
	if got := elementsOf(t, b.nft, s); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s holds %v, want %v", s, got, want)
	}
}

func TestLongerBanInside(t *testing.T) {
	b := open(t, Config{})
	mustBan(t, b, ask("198.51.100.0/24", time.Hour))
	mustBan(t, b, ask("198.51.100.64/26", 2*time.Hour))
	wantElements(t, b, banned4net, map[string]time.Duration{
		"198.51.100.0/26":   time.Hour,
		"198.51.100.64/26":  2 * time.Hour,
		"198.51.100.128/25": time.Hour,
	})
	want := []listed{local("198.51.100.0/24", time.Hour), local("198.51.100.64/26", 2*time.Hour)}
	wantBans(t, b, want...)

	t.Run("another book sees two bans, too", func(t *testing.T) {
		other := open(t, Config{NFT: b.nft})
		wantBans(t, other, want...)
		must(t, other.Unban(t.Context(), prefix("198.51.100.0/24"))) // with all its parts
		wantElements(t, other, banned4net, map[string]time.Duration{"198.51.100.64/26": 2 * time.Hour})
		mustBan(t, other, ask("198.51.100.0/24", 3*time.Hour))
		wantElements(t, other, banned4net, map[string]time.Duration{"198.51.100.0/24": 3 * time.Hour})
	})
	t.Run("the first book notices what the other one did", func(t *testing.T) {
		b.adopted.Store(true) // so that only the kernel's refusal tells
		b.Submit(ask("198.51.100.0/25", 4*time.Hour))
		b.Flush(t.Context())
		wantElements(t, b, banned4net, map[string]time.Duration{
			"198.51.100.0/25": 4 * time.Hour, "198.51.100.128/25": 3 * time.Hour,
		})
	})
}

func TestUnbanOfOverlapping(t *testing.T) {
	for _, tt := range []struct {
		lift string
		want map[string]time.Duration
	}{
		{"198.51.100.64/26", map[string]time.Duration{"198.51.100.0/24": time.Hour}},
		{"198.51.100.0/24", map[string]time.Duration{"198.51.100.64/26": 2 * time.Hour}},
	} {
		t.Run(tt.lift, func(t *testing.T) {
			b := open(t, Config{})
			mustBan(t, b, ask("198.51.100.0/24", time.Hour))
			mustBan(t, b, ask("198.51.100.64/26", 2*time.Hour))
			if err := b.Unban(t.Context(), prefix(tt.lift)); err != nil {
				t.Fatal(err)
			}
			wantElements(t, b, banned4net, tt.want)
		})
	}
}

func TestBanAround(t *testing.T) {
	for _, tt := range []struct {
		name  string
		outer time.Duration
		want  map[string]time.Duration
	}{
		{"longer", 3 * time.Hour, map[string]time.Duration{"2001:db8::/32": 3 * time.Hour}},
		{"shorter", time.Hour, map[string]time.Duration{
			"2001:db8::/34": time.Hour, "2001:db8:4000::/34": 2 * time.Hour, "2001:db8:8000::/33": time.Hour,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t, Config{})
			mustBan(t, b, ask("2001:db8:4000::/34", 2*time.Hour))
			mustBan(t, b, ask("2001:db8::/32", tt.outer))
			wantElements(t, b, banned6net, tt.want)
		})
	}
}

// TestShorterBanReturns: a ban that a longer one covered is in force again when that is lifted.
func TestShorterBanReturns(t *testing.T) {
	b := open(t, Config{})
	mustBan(t, b, ask("198.51.100.64/26", time.Hour))
	mustBan(t, b, ask("198.51.100.0/24", 2*time.Hour))
	wantElements(t, b, banned4net, map[string]time.Duration{"198.51.100.0/24": 2 * time.Hour})
	if err := b.Unban(t.Context(), prefix("198.51.100.0/24")); err != nil {
		t.Fatal(err)
	}
	wantElements(t, b, banned4net, map[string]time.Duration{"198.51.100.64/26": time.Hour})
}

// TestAdjacent: prefixes that touch, and one that reaches to the last address.
func TestAdjacent(t *testing.T) {
	b := open(t, Config{})
	for _, p := range []string{"198.51.100.0/25", "198.51.100.128/25", "240.0.0.0/5", "248.0.0.0/5"} {
		mustBan(t, b, ask(p, time.Hour))
	}
	wantBans(t, b, local("198.51.100.0/25", time.Hour), local("198.51.100.128/25", time.Hour),
		local("240.0.0.0/5", time.Hour), local("248.0.0.0/5", time.Hour))
	if err := b.Unban(t.Context(), prefix("248.0.0.0/5")); err != nil {
		t.Fatal(err)
	}
	mustBan(t, b, ask("240.0.0.0/4", 2*time.Hour))
	wantElements(t, b, banned4net, map[string]time.Duration{
		"198.51.100.0/25": time.Hour, "198.51.100.128/25": time.Hour, "240.0.0.0/4": 2 * time.Hour,
	})
}
