package ban

import (
	"net/netip"
	"testing"
	"time"

	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/nft"
)

// TestPlayedBook keeps to a clock that is not the kernel's: bans end by Expire, at their time, and are extended by what lasts longer.
func TestPlayedBook(t *testing.T) {
	netnstest.Kernel(t)
	n := netnstest.New(t)
	err := n.Do(func() error {
		client, err := nft.Open(nft.Config{})
		if err != nil {
			return err
		}
		defer client.Close()
		now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		b, err := Open(t.Context(), Config{NFT: client, Now: func() time.Time { return now }, Played: true})
		if err != nil {
			return err
		}
		defer b.Close()
		host := netip.MustParsePrefix("203.0.113.9/32")
		for _, d := range []time.Duration{time.Minute, time.Hour} {
			made, err := b.Ban(t.Context(), Request{Target: host, Times: []time.Duration{d}, By: "test"})
			if err != nil || !made.Until.Equal(now.Add(d)) {
				t.Errorf("ban for %s: %+v, %v", d, made, err)
			}
		}
		if _, err := b.Ban(t.Context(), Request{Target: netip.MustParsePrefix("198.51.100.0/24"), Times: []time.Duration{2 * time.Hour}}); err != nil {
			return err
		}
		short := netip.MustParseAddr("203.0.113.10")
		if _, err := b.Ban(t.Context(), Request{Target: netip.PrefixFrom(short, 32), Times: []time.Duration{20 * time.Millisecond}}); err != nil {
			return err
		}
		time.Sleep(60 * time.Millisecond) // of the kernel's time, and of nobody else's
		if _, banned, err := b.Lookup(t.Context(), short); !banned || err != nil {
			t.Errorf("the kernel ended a ban by its own clock: %v", err)
		}
		for _, step := range []struct {
			after    time.Duration
			host, in bool // whether the address, and one in the prefix, are banned
			next     time.Duration
		}{{59 * time.Minute, true, true, time.Hour}, {time.Hour, false, true, 2 * time.Hour}, {2 * time.Hour, false, false, 0}} {
			now = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Add(step.after)
			next, err := b.Expire(t.Context())
			if err != nil {
				return err
			}
			if want := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Add(step.next); step.next == 0 && !next.IsZero() || step.next != 0 && !next.Equal(want) {
				t.Errorf("after %s the next one ends at %s, want +%s", step.after, next, step.next)
			}
			for addr, want := range map[string]bool{"203.0.113.9": step.host, "198.51.100.7": step.in} {
				a := netip.MustParseAddr(addr)
				_, kernel, err := b.Lookup(t.Context(), a)
				if err != nil || kernel != want || b.Holds(a) != want {
					t.Errorf("after %s: %s banned in the kernel %v, in the book %v, %v; want %v", step.after, addr, kernel, b.Holds(a), err, want)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
