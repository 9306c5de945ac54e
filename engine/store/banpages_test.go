package store

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

// anyTarget is one of some thousands of targets of every kind, some of which hold others.
func anyTarget(r *rand.Rand) netip.Prefix {
	if r.IntN(3) == 0 {
		a := netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, byte(r.IntN(4)), 0, byte(r.IntN(4)), byte(r.IntN(30)), 15: byte(r.IntN(4))})
		return netip.PrefixFrom(a, []int{48, 64, 128}[r.IntN(3)]).Masked()
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(r.IntN(40)), byte(r.IntN(256))}), []int{24, 28, 32, 32, 32, 32}[r.IntN(6)]).Masked()
}

// checkPages looks at what the table promises: the pages in order, each ban in its own, none too long, few of them small.
func (s *Store) checkPages(t *testing.T) {
	t.Helper()
	var firsts, pages [][]byte
	must(t, s.query(t.Context(), "SELECT first, bans FROM banpages ORDER BY first", nil, func(r *sql.Rows) error {
		var first, page []byte
		err := r.Scan(&first, &page)
		firsts, pages = append(firsts, first), append(pages, page)
		return err
	}))
	if len(firsts) == 0 || len(firsts[0]) != 0 {
		t.Fatalf("the first of %d pages does not begin with nothing", len(firsts))
	}
	small := 0
	for i, p := range pages {
		bans, err := bansOf(p)
		must(t, err)
		for _, b := range bans {
			key := appendKey(nil, b.Target)
			if bytes.Compare(key, firsts[i]) < 0 || i+1 < len(firsts) && bytes.Compare(key, firsts[i+1]) >= 0 {
				t.Fatalf("%s is in page %d, from %x on", b.Target, i, firsts[i])
			}
		}
		if len(p) > pageLimit && len(bans) > 1 {
			t.Errorf("a page of %d bytes", len(p))
		}
		if len(p) < pageLeast {
			small++
		}
	}
	if small > 2+len(pages)/3 {
		t.Errorf("%d of %d pages are small", small, len(pages))
	}
}

// TestBanPages keeps and forgets thousands of bans at random, in transactions of one and of many, and has the same
// ones as a map has.
func TestBanPages(t *testing.T) {
	s := newStore(t)
	r := rand.New(rand.NewPCG(1, 2))
	want := map[netip.Prefix]Ban{}
	check := func() {
		t.Helper()
		all := slices.SortedFunc(maps.Values(want), func(x, y Ban) int { return compareTargets(x.Target, y.Target) })
		if d := cmp.Diff(all, s.inForce(t), cmp.Comparer(samePrefix), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
		s.checkPages(t)
	}
	for round, c := range []struct{ keep, forget int }{{1, 0}, {3000, 10}, {1, 1}, {2, 2}, {3000, 1000}, {0, 5000}, {500, 0}, {0, 20_000}, {3000, 0}} {
		for range c.keep {
			b := Ban{Target: anyTarget(r), Since: noon, Until: noon.Add(time.Hour), Origin: "local", By: "portscan", Why: strings.Repeat("x", r.IntN(40))}
			if r.IntN(500) == 0 {
				b.Why = strings.Repeat("long", pageLimit/3)
			}
			want[b.Target] = b
			s.Keep(b)
		}
		for range c.forget {
			target := anyTarget(r)
			delete(want, target)
			s.Forget(target)
		}
		check()
		if round == 4 {
			s.ForgetAll()
			clear(want)
			b := Ban{Target: anyTarget(r), Since: noon}
			want[b.Target] = b
			s.Keep(b) // in the same transaction
			check()
		}
	}
	asked := []netip.Prefix{}
	var missing []netip.Prefix
	for range 300 {
		asked = append(asked, anyTarget(r))
		if _, ok := want[asked[len(asked)-1]]; !ok {
			missing = append(missing, asked[len(asked)-1])
		}
	}
	got, err := s.Missing(t.Context(), asked)
	slices.SortFunc(missing, compareTargets)
	if d := cmp.Diff(missing, got, cmp.Comparer(samePrefix)); d != "" || err != nil {
		t.Errorf("missing: %v: %s", err, d)
	}
}

// TestBanTargets keeps a ban under the prefix that it means, and none of nothing.
func TestBanTargets(t *testing.T) {
	s := newStore(t)
	for _, p := range []netip.Prefix{
		{}, netip.MustParsePrefix("::ffff:192.0.2.1/128"), netip.MustParsePrefix("198.51.100.7/24"), netip.PrefixFrom(attacker, 33),
	} {
		s.Keep(Ban{Target: p, Since: noon})
		s.Forget(netip.PrefixFrom(p.Addr(), 99))
	}
	var got []string
	for _, b := range s.inForce(t) {
		got = append(got, b.Target.String())
	}
	if d := cmp.Diff([]string{"198.51.100.0/24", "192.0.2.1/32"}, got); d != "" || s.Stats().Failed != 0 {
		t.Errorf("%+v: %s", s.Stats(), d)
	}
}

// TestAboutBan tells of the ban that lasts longest of those that hold an address.
func TestAboutBan(t *testing.T) {
	s := newStore(t)
	for target, ends := range map[string]time.Duration{
		"203.0.113.9/32": time.Hour, "203.0.113.0/24": 2 * time.Hour, "203.0.0.0/16": time.Minute, "203.0.113.8/32": 3 * time.Hour,
		"2001:db8::/32": 0, "2001:db8::/64": time.Hour,
	} {
		b := Ban{Target: netip.MustParsePrefix(target), Since: noon, Until: time.Now().Add(ends)}
		if ends == 0 {
			b.Until = time.Time{}
		}
		s.Keep(b)
	}
	s.Keep(Ban{Target: netip.MustParsePrefix("198.51.100.1/32"), Since: noon, Until: noon})
	for addr, want := range map[string]string{
		"203.0.113.9": "203.0.113.0/24", "203.0.113.8": "203.0.113.8/32", "203.0.1.1": "203.0.0.0/16", "203.1.1.1": "",
		"2001:db8::1": "2001:db8::/32", "2001:db9::1": "", "198.51.100.1": "",
	} {
		k, err := s.About(t.Context(), netip.MustParseAddr(addr))
		must(t, err)
		got := ""
		if k.Ban != nil {
			got = k.Ban.Target.String()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}

// asVersion1 makes a database of version 1 with n bans, which are returned in order.
func asVersion1(t *testing.T, dir string, n int) (bans []Ban) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, File))
	must(t, err)
	_, err = db.Exec("PRAGMA journal_mode = wal")
	must(t, err)
	tx, err := db.Begin()
	must(t, err)
	_, err = tx.Exec(migrations[0].tables + "PRAGMA user_version = 1")
	must(t, err)
	insert, err := tx.Prepare("INSERT INTO bans (family, bits, addr, since, until, trial, origin, by, why) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
	must(t, err)
	bans = someBans()
	for i := range n - len(bans) {
		bans = append(bans, Ban{Target: host(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})), Since: noon, Until: noon.Add(time.Hour), Origin: "local", By: "portscan", Why: "11 ports in 10ms"})
	}
	slices.SortFunc(bans, func(x, y Ban) int { return compareTargets(x.Target, y.Target) })
	for _, b := range bans {
		family := 6
		if b.Target.Addr().Is4() {
			family = 4
		}
		_, err := insert.Exec(family, b.Target.Bits(), addrBlob(b.Target.Addr()), b.Since.UnixMilli(), millis(b.Until), b.Trial, b.Origin, b.By, b.Why)
		must(t, err)
	}
	must(t, tx.Commit())
	must(t, db.Close())
	return bans
}

// TestMoveBans finds every ban of a database of version 1 again.
func TestMoveBans(t *testing.T) {
	dir := t.TempDir()
	want := asVersion1(t, dir, movedAtOnce+1000)
	s := openIn(t, Config{Dir: dir})
	if d := cmp.Diff(want, s.inForce(t), cmp.Comparer(samePrefix)); d != "" || s.Stats().SetAside != 0 {
		t.Errorf("%+v: %s", s.Stats(), d)
	}
	s.checkPages(t)
}

// moveAndDie makes the test binary die while it moves the bans of the database in this folder.
const moveAndDie = "MOONLATCH_TEST_MOVE"

func dieMoving(dir string) {
	ctx := context.Background()
	db, err := openPool(filepath.Join(dir, File), patience)
	if err != nil {
		panic(err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		panic(err)
	}
	s := session{conn: conn, stmt: map[string]*sql.Stmt{}}
	if err := s.begin(ctx); err != nil {
		panic(err)
	}
	if done, err := s.migrate(ctx); done || err != nil {
		panic(err)
	}
	fmt.Println("moved")
	unix.Kill(os.Getpid(), unix.SIGKILL)
}

// TestMoveBansKilled has the same bans after an attempt that was killed before its end.
func TestMoveBansKilled(t *testing.T) {
	dir := t.TempDir()
	want := asVersion1(t, dir, movedAtOnce+1000)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), moveAndDie+"="+dir)
	if out, err := cmd.CombinedOutput(); err == nil || string(out) != "moved\n" {
		t.Fatalf("%v: %s", err, out)
	}
	s := openIn(t, Config{Dir: dir})
	if d := cmp.Diff(want, s.inForce(t), cmp.Comparer(samePrefix)); d != "" || s.Stats().SetAside != 0 {
		t.Errorf("%+v: %s", s.Stats(), d)
	}
}
