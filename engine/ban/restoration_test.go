package ban

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/nft"
)

// TestRestore puts back what it may and nothing else, each ban for the time that is left of it, whether the book
// asks the kernel what it holds, or has adopted that.
func TestRestore(t *testing.T) {
	for name, adopted := range map[string]bool{"a command": false, "a daemon": true} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Config{})
			if adopted {
				runAdopted(t, b)
			}
			mustProtect(t, b, "policy", "192.0.2.0/28", "2001:db8::7")
			now := time.Now()
			was := func(target string, ago, left time.Duration) Ban {
				return Ban{Target: prefix(target), Since: now.Add(-ago), Until: now.Add(left), By: "portscan", Why: "11 ports in 2s", Origin: Local}
			}
			forEver := was("198.51.100.9", time.Hour, 0)
			forEver.Until = time.Time{}
			person := was("198.51.100.10", time.Hour, time.Hour)
			person.By, person.Origin = "ann", Manual
			ancient := was("198.51.100.12", time.Hour, 0)
			ancient.Since, ancient.Until = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), now.Add(time.Hour)
			alike := was("198.51.100.11", time.Hour, time.Hour)
			alike.Origin = Manual
			r, err := b.Restore(false, []netip.Prefix{prefix("198.51.100.77"), prefix("2001:db8:3::1")})
			must(t, err)
			mustBan(t, b, ask("198.51.100.200", 5*time.Hour)) // meanwhile
			n, err := r.Add(t.Context(), parts(2, []Ban{
				was("198.51.100.1", 40*time.Minute, 20*time.Minute),
				was("198.51.100.2", time.Hour, -time.Second),
				was("192.0.2.5", time.Hour, time.Hour),
				was("192.0.2.0/24", time.Hour, time.Hour),
				was("127.0.0.1", time.Hour, time.Hour),
				was("0.0.0.0/0", time.Hour, time.Hour),
				{},
				was("198.51.100.3", -time.Hour, 2*time.Hour), // the clock is behind: an hour is all of it
				forEver, alike, person, ancient,
				was("203.0.113.0/24", time.Hour, 2*time.Hour),
				was("203.0.112.0/24", time.Hour, -time.Second),
				was("2001:db8::7", time.Hour, time.Hour),
				was("2001:db8::/64", time.Hour, time.Hour),
				was("2001:db8:1::/64", time.Hour, time.Hour),
				was("2001:db8:2::1", time.Hour, time.Hour),
				was("198.51.100.77", time.Hour, time.Hour),
				was("198.51.100.64/28", time.Hour, time.Hour),
				was("198.51.100.77", time.Hour, -time.Second),
				was("2001:db8:3::/64", time.Hour, time.Hour),
			}))
			must(t, err)
			if n, example := r.Spared(); n != 7 || example != prefix("2001:db8:3::/64") {
				t.Errorf("%d spared, such as %s", n, example)
			}
			want := []listed{
				local("198.51.100.1", 20*time.Minute),
				local("198.51.100.3", time.Hour),
				local("198.51.100.9", 0),
				{"198.51.100.10", time.Hour, "ann", "11 ports in 2s", Manual},
				{"198.51.100.11", time.Hour, "portscan", "11 ports in 2s", Manual},
				local("198.51.100.12", time.Hour),
				local("198.51.100.200", 5*time.Hour),
				local("203.0.113.0/24", 2*time.Hour),
				local("2001:db8:1::/64", time.Hour),
				local("2001:db8:2::1", time.Hour),
			}
			if d := cmp.Diff(want, listBans(t, b)); d != "" || n != len(want)-1 {
				t.Errorf("%d put back, want %d: %s", n, len(want)-1, d)
			}
			if since := sinceOf(t, b, "198.51.100.1"); now.Sub(since).Round(time.Minute) != 40*time.Minute {
				t.Errorf("banned since %s", since)
			}
		})
	}
}

// parts is bans, size at a time, each part in the memory of the one before.
func parts(size int, bans []Ban) func() []Ban {
	part := make([]Ban, size)
	return func() []Ban {
		part = part[:copy(part[:size], bans)]
		bans = bans[len(part):]
		return part
	}
}

// TestRestoreAgain leaves what is banned meanwhile as it is, in the kernel and in the book.
func TestRestoreAgain(t *testing.T) {
	b := open(t, Config{})
	runAdopted(t, b)
	mustBan(t, b, ask("198.51.100.1", 5*time.Hour))
	r, err := b.Restore(false, nil)
	must(t, err)
	old := Ban{Target: prefix("198.51.100.1"), Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour), By: "old", Origin: Local}
	more := old
	more.Target = prefix("198.51.100.2")
	for _, want := range []int{1, 0} {
		if n, err := r.Add(t.Context(), parts(1, []Ban{old, more})); n != want || err != nil {
			t.Errorf("%d put back, %v, want %d", n, err, want)
		}
	}
	if d := cmp.Diff([]listed{local("198.51.100.1", 5*time.Hour), {"198.51.100.2", time.Hour, "old", "", Local}}, listBans(t, b)); d != "" {
		t.Error(d)
	}
	if n := b.InForce(); n != 2 || !b.Knows(more.Target) {
		t.Errorf("the book knows %d bans", n)
	}
}

// TestRestoreBeside: a command leaves bans as they are that it finds in the kernel, and that only the kernel knows.
func TestRestoreBeside(t *testing.T) {
	b := open(t, Config{})
	mustBan(t, b, ask("198.51.100.1", 5*time.Hour))
	command := open(t, Config{NFT: b.nft})
	r, err := command.Restore(false, nil)
	must(t, err)
	var bans []Ban
	for _, target := range []string{"198.51.100.1", "198.51.100.2"} {
		bans = append(bans, Ban{Target: prefix(target), Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour), By: "old", Origin: Local})
	}
	if n, err := r.Add(t.Context(), parts(1, bans)); n != 1 || err != nil {
		t.Errorf("%d put back, %v, want 1", n, err)
	}
	if d := cmp.Diff([]listed{local("198.51.100.1", 5*time.Hour), {"198.51.100.2", time.Hour, "old", "", Local}}, listBans(t, b)); d != "" {
		t.Error(d)
	}
}

// TestRestoreRefused: what the kernel refuses is not in the book either.
func TestRestoreRefused(t *testing.T) {
	b := open(t, Config{})
	runAdopted(t, b)
	r, err := b.Restore(false, nil)
	must(t, err)
	command(t, "delete table inet moonlatch; table inet moonlatch { set banned4 { type ipv4_addr; flags timeout; size 1; }; }")
	var bans []Ban
	for i := range 3 {
		bans = append(bans, Ban{Target: host(i), Since: time.Now(), Until: time.Now().Add(time.Hour), By: "old", Origin: Local})
	}
	if n, err := r.Add(t.Context(), parts(2, bans)); n != 0 || !errors.Is(err, nft.ErrFull) {
		t.Errorf("%d put back, %v", n, err)
	}
	if n := b.InForce(); n != 0 {
		t.Errorf("the book knows %d bans that the kernel does not", n)
	}
}

func sinceOf(t *testing.T, b *Book, target string) time.Time {
	t.Helper()
	bans, err := b.Bans(context.Background())
	must(t, err)
	for _, ban := range bans {
		if ban.Target == prefix(target) {
			return ban.Since
		}
	}
	t.Fatalf("%s is not banned", target)
	return time.Time{}
}

func runAdopted(t *testing.T, b *Book) {
	t.Helper()
	run(t, b)
	eventually(t, func() bool { return b.Stats().Adopted })
}
