package ban

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"moonlatch/engine/nft"
)

// TestTwoProcesses: each recognises and lifts what the other one banned.
func TestTwoProcesses(t *testing.T) {
	one := open(t, Config{})
	two := open(t, Config{})
	for _, target := range []string{"192.0.2.1", "2001:db8:0:1::/64", "2001:db8::7", "198.51.100.0/24"} {
		mustBan(t, one, ask(target, 2*time.Hour))
		if target != "198.51.100.0/24" { // prefixes are compared when they collide
			if _, err := two.Ban(t.Context(), ask(target, time.Hour)); !errors.Is(err, ErrDuplicate) {
				t.Errorf("%s: %v, want a duplicate", target, err)
			}
		}
		must(t, two.Unban(t.Context(), prefix(target)))
		mustBan(t, one, ask(target, time.Hour))
		must(t, two.Unban(t.Context(), prefix(target)))
	}
	if _, err := two.Ban(t.Context(), ask("2001:db8:0:1::5", time.Hour)); err != nil {
		t.Errorf("the /64 is not banned any more: %v", err)
	}
	wantBans(t, one, local("2001:db8:0:1::5", time.Hour))
}

// TestSubmitBeforeAdoption must not shorten a ban that the book has not read yet.
func TestSubmitBeforeAdoption(t *testing.T) {
	mustBan(t, open(t, Config{}), ask("192.0.2.1", 2*time.Hour))
	b := open(t, Config{})
	b.Submit(ask("192.0.2.1", time.Hour))
	b.Flush(t.Context())
	wantBans(t, b, local("192.0.2.1", 2*time.Hour))
}

// TestAdoption: what changed since the kernel was read counts more than what was read.
func TestAdoption(t *testing.T) {
	mustBan(t, open(t, Config{}), ask("192.0.2.1", time.Hour))
	read := func(host string) nft.Element {
		return nft.Element{Prefix: prefix(host), Expires: time.Hour, Comment: "portscan: why"}
	}
	adopted := func(b *Book) map[string]time.Duration {
		out := make(map[string]time.Duration)
		b.index.each(func(t target, e entry) { out[show(t.prefix())] = (e.until() - b.clock()).Round(time.Minute) })
		return out
	}
	for _, tt := range []struct {
		name      string
		meanwhile func(*Book)
		want      map[string]time.Duration
	}{
		{"nothing", func(*Book) {}, map[string]time.Duration{"192.0.2.1": time.Hour}},
		{"lifted", func(b *Book) { must(t, b.Unban(t.Context(), prefix("192.0.2.1"))) }, map[string]time.Duration{}},
		{"all lifted", func(b *Book) {
			_, err := b.UnbanAll(t.Context())
			must(t, err)
		}, map[string]time.Duration{}},
		{"banned for longer", func(b *Book) { mustBan(t, b, ask("192.0.2.1", 3*time.Hour)) }, map[string]time.Duration{"192.0.2.1": 3 * time.Hour}},
		{"protected", func(b *Book) { mustProtect(t, b, "host", "192.0.2.1") }, map[string]time.Duration{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t, Config{})
			b.adoption = &adoption{lifted: make(map[target]bool)}
			if _, err := b.Ban(t.Context(), ask("192.0.2.1", time.Hour)); err != nil && !errors.Is(err, ErrDuplicate) {
				t.Fatal(err)
			}
			b.index.remove(targetOf(prefix("192.0.2.1"))) // as if it were not known yet
			tt.meanwhile(b)
			must(t, b.adoptElements(t.Context(), banned4, []nft.Element{read("192.0.2.1")}, b.clock()))
			if got := adopted(b); fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("the book has %v, want %v", got, tt.want)
			}
			kernel := elementsOf(t, b.nft, banned4)
			if _, held := kernel["192.0.2.1/32"]; held != (len(tt.want) > 0) {
				t.Errorf("the kernel has %v, want %v", kernel, tt.want)
			}
		})
	}
}

// TestNames: however many authors there are, the figures stay few.
func TestNames(t *testing.T) {
	var n names
	for i := range 1000 {
		name := fmt.Sprintf("detector %d", i)
		want := name
		if i >= maxNames {
			want = otherName
		}
		if got := n.name(n.id(name)); got != want {
			t.Fatalf("author %d is counted as %q, want %q", i, got, want)
		}
	}
	if got := n.name(n.id("detector 7")); got != "detector 7" {
		t.Errorf("got %q", got)
	}
}

func TestIndex(t *testing.T) {
	x := newIndex()
	at := func(s string) target { return targetOf(prefix(s)) }
	const now = time.Hour
	x.put(at("192.0.2.0/24"), newEntry(now+2*time.Minute, 1, false))
	x.put(at("192.0.2.1"), newEntry(now+time.Minute, 2, true))
	x.put(at("192.0.0.0/16"), newEntry(now, 3, false)) // has ended
	x.put(at("2001:db8::/64"), newEntry(forever, 4, false))
	for s, want := range map[string]string{
		"192.0.2.1": "192.0.2.0/24", "192.0.2.0/25": "192.0.2.0/24", "192.0.0.0/17": "", "192.0.3.1": "",
		"2001:db8::1": "2001:db8::/64", "2001:db8::/63": "",
	} {
		by, e, ok := x.covering(at(s), now)
		got := ""
		if ok {
			got = by.prefix().String()
		}
		if got != want {
			t.Errorf("%s is covered by %q, want %q", s, got, want)
		}
		if want == "2001:db8::/64" && e.until() != forever {
			t.Errorf("%s is banned until %s, want for ever", s, e.until())
		}
	}
	if _, got := x.sweep(now, 0); got != 1 {
		t.Errorf("%d had ended, want 1", got)
	}
	x.put(at("192.0.2.1"), newEntry(now+3*time.Minute, 2, false))
	if by, _, _ := x.covering(at("192.0.2.1"), now); by != at("192.0.2.1") {
		t.Errorf("covered by %v, want the one that lasts longest", by.prefix())
	}
	if n := x.inForce[0][0].Load(); n != 2 {
		t.Errorf("%d IPv4 bans of policies, want 2", n)
	}
	if n := x.inForce[0][1].Load(); n != 0 {
		t.Errorf("%d IPv4 bans of persons, want none: it was replaced", n)
	}
}
