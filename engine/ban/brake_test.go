package ban

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"moonlatch/engine/nft"
)

// brakes returns a Book with a brake, and what it told of storms.
func brakes(t *testing.T, brake Brake) (*Book, *clock, *[]Storm) {
	t.Helper()
	c, storms := &clock{}, &[]Storm{}
	b := open(t, Config{Now: c.now, Storm: func(s Storm) { *storms = append(*storms, s) }})
	must(t, b.SetBrake(brake))
	return b, c, storms
}

// tryBans asks for bans and returns how many were made, and the error of the last that was not.
func tryBans(t *testing.T, b *Book, requests ...Request) (made int, refused error) {
	t.Helper()
	for _, r := range requests {
		_, err := b.Ban(t.Context(), r)
		if err != nil {
			refused = err
			continue
		}
		made++
	}
	return made, refused
}

// hosts asks for the bans of n hosts from the ith on.
func hosts(i, n int) []Request {
	var out []Request
	for j := range n {
		out = append(out, Request{Target: host(i + j), Times: []time.Duration{time.Hour}, By: "portscan"})
	}
	return out
}

// TestRate holds bans back that come too fast, tells of it twice and not each time, and lets a person ban whenever they want.
func TestRate(t *testing.T) {
	b, c, storms := brakes(t, Brake{Bans: 10, Per: time.Minute})
	if made, err := tryBans(t, b, hosts(0, 25)...); made != 10 || !errors.Is(err, ErrRate) {
		t.Errorf("%d bans were made, then %v; want 10, then ErrRate", made, err)
	}
	// What brings nothing new takes nothing from the rate.
	if _, err := b.Ban(t.Context(), hosts(0, 1)[0]); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a duplicate: %v", err)
	}
	manual := ask("192.0.2.1", time.Hour)
	manual.Origin = Manual
	mustBan(t, b, manual)
	if s := b.Stats(); s.Suppressed[SuppressedRate] != 15 || !s.Storms[SuppressedRate] {
		t.Errorf("%d bans counted as held back, storms %v; want 15 and one", s.Suppressed[SuppressedRate], s.Storms)
	}
	c.ahead = 31 * time.Second // half the rate of a minute, and no ban was held back meanwhile
	b.held.end(c.now())
	if made, _ := tryBans(t, b, hosts(100, 4)...); made != 4 {
		t.Errorf("%d bans of 4 half a minute later", made)
	}
	if len(*storms) != 2 || (*storms)[0].Over || (*storms)[0].Count != 1 || !(*storms)[1].Over || (*storms)[1].Count != 15 {
		t.Errorf("told %+v; want that a storm begins, and that it is over with 15", *storms)
	}
	if s := b.Stats(); len(s.Storms) != 0 {
		t.Errorf("storms %v go on", s.Storms)
	}
}

// TestShare lets no more of a prefix be banned than may be, whatever was banned before the brake was set.
func TestShare(t *testing.T) {
	of := func(s string, percent int) Share { return Share{Percent: percent, Of: netip.MustParsePrefix(s)} }
	for _, tt := range []struct {
		name   string
		share  Share
		first  []string // banned before
		then   []string
		banned []bool
	}{
		{"of a certain prefix", of("192.0.2.0/30", 50), []string{"192.0.2.0"},
			[]string{"192.0.2.1", "192.0.2.2", "192.0.2.4", "198.51.100.1"}, []bool{true, false, true, true}},
		{"a prefix inside", of("192.0.2.0/24", 50), nil, []string{"192.0.2.0/25", "192.0.2.128"}, []bool{true, false}},
		{"a prefix around", of("192.0.2.0/24", 99), nil, []string{"192.0.0.0/20", "192.0.2.1"}, []bool{false, true}},
		{"all of it", of("192.0.2.0/24", 100), nil, []string{"192.0.0.0/20"}, []bool{true}},
		{"of each IPv4 prefix", Share{Percent: 25, Bits: 30}, []string{"192.0.2.0", "2001:db8::/64"},
			[]string{"192.0.2.1", "192.0.2.4", "192.0.2.5", "198.51.100.0/29", "2001:db8:0:1::/64"}, []bool{false, true, false, false, true}},
		{"of each IPv6 prefix", Share{Percent: 50, Bits: 62, IPv6: true}, nil,
			[]string{"2001:db8::/64", "2001:db8:0:1::1", "2001:db8:0:2::/64", "192.0.2.1", "2001:db8:0:4::/63"}, []bool{true, true, false, true, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t, Config{})
			for _, target := range tt.first {
				mustBan(t, b, ask(target, time.Hour))
			}
			must(t, b.SetBrake(Brake{Shares: []Share{tt.share}}))
			for i, target := range tt.then {
				_, err := b.Ban(t.Context(), ask(target, time.Hour))
				if (err == nil) != tt.banned[i] || err != nil && !errors.Is(err, ErrShare) {
					t.Errorf("ban %s: %v; want it banned: %v", target, err, tt.banned[i])
				}
			}
		})
	}
}

// TestShareIsGivenBack: what was lifted or is over can be banned again.
func TestShareIsGivenBack(t *testing.T) {
	b, c, _ := brakes(t, Brake{Shares: []Share{{Percent: 25, Bits: 30}}})
	mustBan(t, b, ask("192.0.2.0", time.Hour))
	if _, err := b.Ban(t.Context(), ask("192.0.2.1", time.Hour)); !errors.Is(err, ErrShare) {
		t.Errorf("beyond the share: %v", err)
	}
	must(t, b.Unban(t.Context(), prefix("192.0.2.0")))
	mustBan(t, b, ask("192.0.2.1", time.Hour))
	mustBan(t, b, ask("192.0.2.1", 3*time.Hour)) // nothing new of the prefix
	c.ahead = 4 * time.Hour
	b.index.sweep(b.clock(), 0)
	mustBan(t, b, ask("192.0.2.2", time.Hour))
}

// TestMost: the ban that ends soonest makes room, never a person's, and a new one that ends sooner still is refused.
func TestMost(t *testing.T) {
	b, _, storms := brakes(t, Brake{Most: 3})
	manual := ask("192.0.2.9", time.Minute)
	manual.Origin = Manual
	mustBan(t, b, manual)
	mustBan(t, b, ask("192.0.2.1", 3*time.Hour))
	mustBan(t, b, ask("192.0.2.2", 2*time.Hour))
	if _, err := b.Ban(t.Context(), ask("192.0.2.3", time.Hour)); !errors.Is(err, nft.ErrFull) {
		t.Errorf("the weakest one more: %v, want ErrFull", err)
	}
	mustBan(t, b, ask("192.0.2.4", 4*time.Hour))
	if got := targets(t, b); !slices.Equal(got, []string{"192.0.2.1", "192.0.2.4", "192.0.2.9"}) {
		t.Errorf("banned are %s", got)
	}
	manual.Target = prefix("192.0.2.8")
	mustBan(t, b, manual)
	if got := targets(t, b); !slices.Equal(got, []string{"192.0.2.4", "192.0.2.8", "192.0.2.9"}) {
		t.Errorf("banned are %s", got)
	}
	s := b.Stats()
	if s.Unbanned[UnbannedEvicted] != 2 || s.Suppressed[SuppressedSetFull] != 1 {
		t.Errorf("evicted %d, refused %d; want 2 and 1", s.Unbanned[UnbannedEvicted], s.Suppressed[SuppressedSetFull])
	}
	if len(*storms) != 2 {
		t.Errorf("told %+v, want one storm of each kind", *storms)
	}
}

// TestMostInBatches: of many at once, those that last longest are in force.
func TestMostInBatches(t *testing.T) {
	b, _, _ := brakes(t, Brake{Most: 100})
	for i := range 300 {
		r := hosts(i, 1)[0]
		r.Times = []time.Duration{time.Duration(i%150+1) * time.Hour}
		b.Submit(r)
	}
	b.Flush(t.Context())
	all := listBans(t, b)
	if len(all) > 100 || len(all) < 90 {
		t.Fatalf("%d bans are in force, want 100", len(all))
	}
	for _, l := range all {
		if l.Left < 95*time.Hour {
			t.Errorf("%s is banned for %s only", l.Target, l.Left)
		}
	}
}

// TestFullSet: where the kernel's set is smaller than the brake knows, a weaker ban makes room all the same.
func TestFullSet(t *testing.T) {
	c := connect(t)
	must(t, c.Run(t.Context(), []byte(script(20))))
	b := open(t, Config{NFT: c})
	for _, r := range hosts(0, 20) {
		mustBan(t, b, r)
	}
	stronger := ask("192.0.2.1", 2*time.Hour)
	if _, err := b.Ban(t.Context(), stronger); !errors.Is(err, nft.ErrFull) {
		t.Fatalf("without a brake: %v, want ErrFull", err)
	}
	must(t, b.SetBrake(DefaultBrake()))
	mustBan(t, b, stronger)
	if b.Stats().Unbanned[UnbannedEvicted] == 0 {
		t.Error("nothing counts as evicted")
	}
}

// TestBadBrake names what is nonsense.
func TestBadBrake(t *testing.T) {
	b := open(t, Config{})
	for _, brake := range []Brake{
		{Bans: -1, Per: time.Minute}, {Bans: MaxBans + 1, Per: time.Minute}, {Bans: 1}, {Bans: 1, Per: -time.Second}, {Bans: 1, Per: 48 * time.Hour}, {Most: -1}, {Most: MaxBans + 1},
		{Shares: []Share{{Percent: 0, Bits: 24}}}, {Shares: []Share{{Percent: 101, Bits: 24}}},
		{Shares: []Share{{Percent: 10, Bits: 7}}}, {Shares: []Share{{Percent: 10, Bits: 32}}}, {Shares: []Share{{Percent: 10, Bits: 64, IPv6: true}}},
		{Shares: []Share{{Percent: 1, Bits: 28}}}, {Shares: []Share{{Percent: 10, Of: netip.MustParsePrefix("0.0.0.0/0")}}},
	} {
		if err := b.SetBrake(brake); err == nil {
			t.Errorf("%+v was taken", brake)
		}
	}
}

// TestConnected spares whom this host has connected to, where the request says so.
func TestConnected(t *testing.T) {
	asked := 0
	var fails error
	b := open(t, Config{Connected: func() (func(netip.Prefix) bool, error) {
		asked++
		return func(p netip.Prefix) bool { return p.Contains(netip.MustParseAddr("192.0.2.1")) }, fails
	}})
	spare := func(target string) Request {
		r := ask(target, time.Hour)
		r.SpareConnected = true
		return r
	}
	for _, target := range []string{"192.0.2.1", "192.0.2.0/24"} {
		if _, err := b.Ban(t.Context(), spare(target)); !errors.Is(err, ErrConnected) {
			t.Errorf("ban %s: %v, want ErrConnected", target, err)
		}
	}
	mustBan(t, b, spare("192.0.2.2"))
	asked = 0
	mustBan(t, b, ask("192.0.2.1", time.Hour)) // it does not ask
	if asked != 0 {
		t.Error("a request that spares nobody has the connections looked up")
	}
	for _, r := range []Request{spare("192.0.2.3"), spare("192.0.2.4"), ask("192.0.2.5", time.Hour)} {
		b.Submit(r)
	}
	b.Flush(t.Context())
	if asked != 1 || b.Stats().Suppressed[SuppressedConnected] != 2 {
		t.Errorf("%d look-ups for a batch, %d suppressed; want 1 and 2", asked, b.Stats().Suppressed[SuppressedConnected])
	}
	fails = errors.New("no answer")
	if _, err := b.Ban(t.Context(), spare("192.0.2.6")); !errors.Is(err, fails) {
		t.Errorf("with the connections unknown: %v", err)
	}
}

// TestCut tells of the bans that end what is established, once the kernel has them.
func TestCut(t *testing.T) {
	var cut []netip.Prefix
	b := open(t, Config{})
	b.cfg.Cut = func(p netip.Prefix) {
		if _, banned, _ := b.Lookup(t.Context(), p.Addr()); !banned {
			t.Errorf("%s is cut before it is banned", p)
		}
		cut = append(cut, p)
	}
	r := ask("192.0.2.1", time.Hour)
	r.Cut = true
	mustBan(t, b, r)
	mustBan(t, b, ask("192.0.2.2", time.Hour))
	if _, err := b.Ban(t.Context(), r); !errors.Is(err, ErrDuplicate) {
		t.Error(err)
	}
	if !slices.Equal(cut, prefixes("192.0.2.1")) {
		t.Errorf("cut %s", cut)
	}
}

// TestMostKeepsTheStronger: of a batch that finds the book full, only those make room that outlast what is there.
func TestMostKeepsTheStronger(t *testing.T) {
	b, _, _ := brakes(t, Brake{Most: 2})
	mustBan(t, b, ask("192.0.2.1", 2*time.Hour))
	mustBan(t, b, ask("192.0.2.2", 3*time.Hour))
	for target, length := range map[string]time.Duration{"192.0.2.3": time.Hour, "192.0.2.4": 4 * time.Hour} {
		b.Submit(ask(target, length))
	}
	b.Flush(t.Context())
	if got := targets(t, b); !slices.Equal(got, []string{"192.0.2.2", "192.0.2.4"}) {
		t.Errorf("banned are %s", got)
	}
}
