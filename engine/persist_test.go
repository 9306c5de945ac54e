package engine

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/store"
)

// TestReadBans leaves out what was on trial and what has ended.
func TestReadBans(t *testing.T) {
	s, err := store.Open(t.Context(), store.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	keep := func(target string, left time.Duration, trial bool) {
		s.Keep(store.Ban{Target: netip.MustParsePrefix(target), Since: now.Add(-time.Hour), Until: now.Add(left), Origin: "local", By: "portscan", Trial: trial})
	}
	keep("198.51.100.1/32", time.Hour, false)
	keep("198.51.100.2/32", time.Hour, true)
	keep("198.51.100.3/32", -time.Second, false)
	keep("2001:db8::/64", time.Hour, false)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := newBanReader(t.Context(), s)
	var got []string
	for bans := r.next(); len(bans) > 0; bans = r.next() {
		for _, b := range bans {
			got = append(got, b.Target.String())
		}
	}
	if d := cmp.Diff([]string{"198.51.100.1/32", "2001:db8::/64"}, got); d != "" || r.err != nil {
		t.Errorf("%v: %s", r.err, d)
	}
}

// TestRestoreSparesWhoIsProtectedNow: neither this host's own address nor one that the user protects is banned again by
// a ban that was made before, and the log says so.
func TestRestoreSparesWhoIsProtectedNow(t *testing.T) {
	netnstest.Kernel(t)
	const own, users, stranger = "198.51.100.5/32", "203.0.113.7/32", "203.0.113.9/32"
	run := func(name string, arg ...string) {
		if out, err := exec.Command(name, arg...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, arg, err, out)
		}
	}
	run("ip", "address", "add", own, "dev", "lo")
	t.Cleanup(func() {
		run("ip", "address", "delete", own, "dev", "lo")
		run("nft", "flush", "ruleset")
	})
	dir := t.TempDir()
	if _, err := userList(dir).add(netip.MustParsePrefix(users), "the office"); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{own, "198.51.100.0/24", users, "203.0.113.0/28", stranger} {
		s.Keep(store.Ban{Target: netip.MustParsePrefix(target), Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour), Origin: "local", By: "portscan"})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	f, err := Open(t.Context(), Config{State: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, n, _ := f.Restore(t.Context()); n != 1 { // its error is that no generation was confirmed
		t.Errorf("%d bans put back, want 1", n)
	}
	bans, err := f.bans.Bans(t.Context())
	if err != nil || len(bans) != 1 || bans[0].Target != netip.MustParsePrefix(stranger) {
		t.Errorf("in force: %v, %v", bans, err)
	}
	if !strings.Contains(log.String(), "bans=4") || !strings.Contains(log.String(), "not put back") {
		t.Errorf("the log does not tell of 4 bans: %s", &log)
	}
}
