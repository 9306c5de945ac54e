package ban

import (
	"context"
	"errors"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/nft"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// connect returns a client of the tests' private namespace, whose rules are gone after the test.
func connect(t testing.TB) *nft.Client {
	t.Helper()
	netnstest.Kernel(t)
	c, err := nft.Open(nft.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		command(t, "flush", "ruleset")
	})
	return c
}

// open returns a new Book on what the kernel holds.
func open(t testing.TB, cfg Config) *Book {
	t.Helper()
	if cfg.NFT == nil {
		cfg.NFT = connect(t)
	}
	b, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// command runs nft and returns what it prints.
func command(t testing.TB, arg ...string) string {
	t.Helper()
	out, err := exec.Command("nft", arg...).CombinedOutput()
	if err != nil {
		t.Fatalf("nft %s: %v\n%s", strings.Join(arg, " "), err, out)
	}
	return string(out)
}

func prefix(s string) netip.Prefix {
	if !strings.Contains(s, "/") {
		addr := netip.MustParseAddr(s)
		return netip.PrefixFrom(addr, addr.BitLen())
	}
	return netip.MustParsePrefix(s)
}

// ask returns a policy's request.
func ask(target string, times ...time.Duration) Request {
	return Request{Target: prefix(target), Times: times, By: "portscan", Why: "11 ports in 2s"}
}

func mustBan(t testing.TB, b *Book, r Request) Ban {
	t.Helper()
	ban, err := b.Ban(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return ban
}

// listed is a ban as tests compare it: how long it is in minutes, rounded.
type listed struct {
	Target string
	Left   time.Duration
	By     string
	Why    string
	Origin Origin
}

func listBans(t testing.TB, b *Book) []listed {
	t.Helper()
	bans, err := b.Bans(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var out []listed
	for _, ban := range bans {
		left := time.Duration(0)
		if !ban.Until.IsZero() {
			left = time.Until(ban.Until).Round(time.Minute)
		}
		out = append(out, listed{show(ban.Target), left, ban.By, ban.Why, ban.Origin})
	}
	return out
}

// local is what listBans shows for a ban that ask asked for.
func local(target string, left time.Duration) listed {
	return listed{target, left, "portscan", "11 ports in 2s", Local}
}

func wantBans(t testing.TB, b *Book, want ...listed) {
	t.Helper()
	if diff := cmp.Diff(want, listBans(t, b)); diff != "" {
		t.Errorf("bans (-want +got):\n%s", diff)
	}
}

func TestBanOfEachKind(t *testing.T) {
	b := open(t, Config{})
	for _, tt := range []struct{ target, set string }{
		{"192.0.2.1", "banned4"},
		{"198.51.100.0/24", "banned4net"},
		{"2001:db8::1", "banned6"},
		{"2001:db8:0:1::/64", "banned6_64"},
		{"2001:db8:8000::/48", "banned6net"},
		{"::ffff:203.0.113.9", "banned4"},
		{"::ffff:203.0.113.128/121", "banned4net"},
	} {
		ban := mustBan(t, b, ask(tt.target, time.Hour))
		elements, err := b.nft.Elements(core(), tt.set)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, e := range elements {
			found = found || e.Prefix.Addr() == ban.Target.Addr() && e.Comment == "portscan: 11 ports in 2s" &&
				e.Timeout == time.Hour
		}
		if !found {
			t.Errorf("%s is not in %s: %+v", tt.target, tt.set, elements)
		}
	}
	wantBans(t, b,
		local("192.0.2.1", time.Hour),
		local("198.51.100.0/24", time.Hour),
		local("203.0.113.9", time.Hour),
		local("203.0.113.128/25", time.Hour),
		local("2001:db8::1", time.Hour),
		local("2001:db8:0:1::/64", time.Hour),
		local("2001:db8:8000::/48", time.Hour),
	)
}

func TestBanIsReported(t *testing.T) {
	var booked []Ban
	var latencies []time.Duration
	b := open(t, Config{
		Booked:  func(ban Ban) { booked = append(booked, ban) },
		Observe: func(d time.Duration) { latencies = append(latencies, d) },
	})
	r := ask("192.0.2.1", time.Hour)
	r.Packet = time.Now().Add(-time.Minute)
	ban := mustBan(t, b, r)
	if ban.Target != r.Target || ban.By != r.By || ban.Why != r.Why || ban.Origin != Local {
		t.Errorf("ban = %+v", ban)
	}
	if left := ban.Until.Sub(ban.Since); left < time.Hour-time.Second || left > time.Hour+time.Second {
		t.Errorf("lasts %s, want an hour", left)
	}
	if diff := cmp.Diff(1, len(booked)); diff != "" || booked[0].Target != ban.Target {
		t.Errorf("Booked was called with %+v", booked)
	}
	if len(latencies) != 1 || latencies[0] < time.Minute || latencies[0] > 2*time.Minute {
		t.Errorf("Observe was called with %v, want a minute", latencies)
	}
}

func TestDuplicates(t *testing.T) {
	for _, tt := range []struct {
		name      string
		first     Request
		again     Request
		duplicate bool
	}{
		{"the same", ask("192.0.2.1", time.Hour), ask("192.0.2.1", time.Hour), true},
		{"shorter", ask("192.0.2.1", time.Hour), ask("192.0.2.1", time.Minute), true},
		{"longer", ask("192.0.2.1", time.Hour), ask("192.0.2.1", 2*time.Hour), false},
		{"hardly longer", ask("192.0.2.1", time.Hour), ask("192.0.2.1", time.Hour+time.Minute), true},
		{"a person's, hardly longer", ask("192.0.2.1", time.Hour), manual("192.0.2.1", time.Hour+time.Minute), false},
		{"inside a banned prefix", ask("192.0.2.0/24", time.Hour), ask("192.0.2.1", time.Hour), true},
		{"inside, longer", ask("192.0.2.0/24", time.Hour), ask("192.0.2.1", 2*time.Hour), false},
		{"inside a banned /64", ask("2001:db8::/64", time.Hour), ask("2001:db8::1", time.Hour), true},
		{"around a ban", ask("192.0.2.1", time.Hour), ask("192.0.2.0/24", time.Minute), false},
		{"mapped", ask("192.0.2.1", time.Hour), ask("::ffff:192.0.2.1", time.Hour), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t, Config{})
			first := mustBan(t, b, tt.first)
			got, err := b.Ban(t.Context(), tt.again)
			if errors.Is(err, ErrDuplicate) != tt.duplicate || !tt.duplicate && err != nil {
				t.Errorf("error %v, want a duplicate: %t", err, tt.duplicate)
			}
			if tt.duplicate && (got.Target != first.Target || got.By != first.By) {
				t.Errorf("got %+v, want the ban that there is: %+v", got, first)
			}
		})
	}
}

// TestLongerBanReplaces: the kernel has the reason of the ban that counts.
func TestLongerBanReplaces(t *testing.T) {
	b := open(t, Config{})
	mustBan(t, b, manual("192.0.2.1", time.Hour))
	mustBan(t, b, ask("192.0.2.1", 2*time.Hour))
	wantBans(t, b, local("192.0.2.1", 2*time.Hour))
	if s := b.Stats(); s.InForce[Kind{IPv4, Local}] != 1 || s.InForce[Kind{IPv4, Manual}] != 0 {
		t.Errorf("in force: %v", s.InForce)
	}
}

func manual(target string, times ...time.Duration) Request {
	return Request{Target: prefix(target), Times: times, By: "manual", Why: "enough", Origin: Manual}
}

// TestLadder: each offence after a ban has ended gets the next time; what comes in while banned is the same offence.
func TestLadder(t *testing.T) {
	now := time.Now()
	b := open(t, Config{Now: func() time.Time { return now }})
	r := ask("192.0.2.1", time.Minute, time.Hour, 24*time.Hour)
	for i, want := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 24 * time.Hour} {
		ban := mustBan(t, b, r)
		if got := ban.Until.Sub(ban.Since); got != want {
			t.Errorf("offence %d: banned for %s, want %s", i+1, got, want)
		}
		if _, err := b.Ban(t.Context(), r); !errors.Is(err, ErrDuplicate) {
			t.Errorf("offence %d while banned: %v, want a duplicate", i+1, err)
		}
		now = now.Add(want + time.Second)
		must(t, b.Unban(t.Context(), r.Target)) // as the kernel would, were it for its clock
	}
}

func TestRefused(t *testing.T) {
	b := open(t, Config{})
	for _, tt := range []struct {
		r    Request
		want error
		text string
	}{
		{ask("0.0.0.0/0", time.Hour), ErrBadTarget, "0.0.0.0/0 cannot be banned: it is everybody"},
		{ask("::/0", time.Hour), ErrBadTarget, "it is everybody"},
		{ask("0.0.0.0/1", time.Hour), ErrBadTarget, "loopback"},
		{ask("127.0.0.1", time.Hour), ErrBadTarget, "loopback"},
		{ask("::1", time.Hour), ErrBadTarget, "loopback"},
		{ask("::/64", time.Hour), ErrBadTarget, "loopback"},
		{ask("0.0.0.0", time.Hour), ErrBadTarget, "unspecified"},
		{ask("::", time.Hour), ErrBadTarget, "unspecified"},
		{ask("224.0.0.1", time.Hour), ErrBadTarget, "multicast"},
		{ask("ff02::/16", time.Hour), ErrBadTarget, "multicast"},
		{ask("255.255.255.255", time.Hour), ErrBadTarget, "broadcast"},
		{ask("fe80::/64", time.Hour), ErrBadTarget, "link-local"},
		{ask("192.0.2.5/24", time.Hour), ErrBadTarget, "write 192.0.2.0/24, or 192.0.2.5 for the address alone"},
		{ask("::ffff:0:0/90", time.Hour), ErrBadTarget, "mixes"},
		{Request{Times: []time.Duration{time.Hour}}, ErrBadTarget, "want an address or a prefix"},
		{ask("192.0.2.1"), ErrBadTime, "none is given"},
		{ask("192.0.2.1", 0), ErrBadTime, "0s must be more than 0s"},
		{ask("192.0.2.1", time.Hour, -time.Second), ErrBadTime, "-1s must be more than 0s"},
		{ask("192.0.2.1", MaxTime+1), ErrBadTime, "at most 87600h0m0s"},
	} {
		_, err := b.Ban(t.Context(), tt.r)
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s for %v: %v, want %v with %q", tt.r.Target, tt.r.Times, err, tt.want, tt.text)
		}
		if b.Submit(tt.r) {
			t.Errorf("%s for %v was queued", tt.r.Target, tt.r.Times)
		}
	}
	wantBans(t, b)
	mustBan(t, b, ask("192.0.2.1", MaxTime)) // the kernel takes the longest time
	mustBan(t, b, ask("fe80::1", time.Hour))
}

func TestUnban(t *testing.T) {
	b := open(t, Config{})
	for _, target := range []string{"192.0.2.1", "198.51.100.0/24", "2001:db8:0:1::/64"} {
		mustBan(t, b, ask(target, time.Hour))
		if err := b.Unban(t.Context(), prefix(target)); err != nil {
			t.Error(err)
		}
		if err := b.Unban(t.Context(), prefix(target)); !errors.Is(err, ErrNotBanned) {
			t.Errorf("%s once more: %v, want ErrNotBanned", target, err)
		}
	}
	wantBans(t, b)
	mustBan(t, b, ask("198.51.100.0/24", time.Hour)) // no duplicate of what was lifted
	err := b.Unban(t.Context(), prefix("198.51.100.7"))
	if want := "198.51.100.7 itself is not banned, but 198.51.100.0/24 is"; !errors.Is(err, ErrNotBanned) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if got := b.Stats().Unbanned[UnbannedRequest]; got != 3 {
		t.Errorf("counted %d, want 3", got)
	}
}

func TestUnbanAll(t *testing.T) {
	b := open(t, Config{})
	for _, target := range []string{"192.0.2.1", "198.51.100.0/24", "2001:db8::1", "2001:db8:0:1::/64", "2001:db8:8000::/48"} {
		mustBan(t, b, ask(target, time.Hour))
	}
	n, err := b.UnbanAll(t.Context())
	if n != 5 || err != nil {
		t.Errorf("lifted %d, %v; want 5", n, err)
	}
	wantBans(t, b)
	mustBan(t, b, ask("198.51.100.0/25", time.Hour))
	wantBans(t, b, local("198.51.100.0/25", time.Hour))
	if s := b.Stats(); s.InForce[Kind{IPv4, Local}] != 1 || s.InForce[Kind{IPv6, Local}] != 0 {
		t.Errorf("in force: %v", s.InForce)
	}
}

func TestLookup(t *testing.T) {
	b := open(t, Config{})
	for _, r := range []Request{
		manual("192.0.2.1", time.Hour), manual("192.0.2.0/24", 2*time.Hour), manual("192.0.2.2", 3*time.Hour),
		manual("2001:db8::/64", time.Hour), manual("2001:db8::5", 2*time.Hour), manual("2001:db8:8000::/48", time.Hour),
	} {
		mustBan(t, b, r)
	}
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.0/24", "192.0.2.2": "192.0.2.2/32", "192.0.2.255": "192.0.2.0/24", "192.0.3.0": "",
		"::ffff:192.0.2.9": "192.0.2.0/24", "2001:db8::1": "2001:db8::/64", "2001:db8::5": "2001:db8::5/128",
		"2001:db8:0:1::": "", "2001:db8:8000:ffff::1": "2001:db8:8000::/48",
	} {
		ban, ok, err := b.Lookup(t.Context(), netip.MustParseAddr(addr))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if ok {
			got = ban.Target.String()
		}
		if got != want {
			t.Errorf("%s: banned by %q, want %q", addr, got, want)
		}
	}
}
