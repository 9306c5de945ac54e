package store

import (
	"database/sql"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tables are those of the database with their columns, after each what is proper to it: an i for an integer, t for a text, b for an address.
var tables = [...]struct{ name, columns string }{
	{"banpages", "first=f ends=i bans=p"},
	{"history", "time=i kind=k addr=b bits=n until=i origin=o by=t why=t evidence=t policy=t generation=i digest=t uid=n pid=i command=t outcome=t"},
	{"sources", "span=s start=i stream=t addr=b events=i last=i ports=t"},
	{"ports", "span=s start=i stream=t proto=n port=n events=i"},
	{"dropped", "span=s start=i packets=i"},
	{"packets", "time=i stream=t rule=t src=b dst=b proto=n sport=n dport=n"},
}

// FuzzRows reads and tidies up a database into which somebody wrote a row of whatever types and values by hand: all
// that was there before is found still.
func FuzzRows(f *testing.F) {
	address := []byte{203, 0, 113, 66}
	for table := range tables {
		f.Add(uint8(table), uint64(0), address, int64(32), noon.UnixMilli(), "ban")         // a proper one
		f.Add(uint8(table), uint64(0), address, int64(33), int64(-5), "text")               // before 1970
		f.Add(uint8(table), uint64(0), address[:3], int64(-1), int64(1<<63-1), "a\x00\xff") // beyond all times
		for column := range strings.Fields(tables[table].columns) {
			for _, kind := range []uint64{2, 4, 7} {
				f.Add(uint8(table), kind<<(4*column), address, int64(32), noon.UnixMilli(), "ban")
			}
		}
	}
	f.Add(uint8(1), uint64(0), []byte(nil), int64(0), int64(0), strings.Repeat("x", 1<<16))
	s := openIn(f, Config{Dir: f.TempDir(), Log: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, table uint8, types uint64, address []byte, small, large int64, text string) {
		db := s.db.Load()
		for _, other := range tables {
			_, err := db.Exec("DELETE FROM " + other.name)
			must(t, err)
		}
		_, err := db.Exec("INSERT INTO banpages (first, bans) VALUES (x'', x'')")
		must(t, err)
		s.Keep(Ban{Target: host(attacker), Since: noon})
		s.Record(aBan)
		for range 2 { // and one more makes more than an integer holds, where it is the largest
			s.Observe(&Event{Time: noon, Stream: "ban", Src: attacker, Proto: 32, Dport: 32})
		}
		s.Dropped(2)
		s.settle(t.Context())
		of := tables[int(table)%len(tables)]
		var columns, marks []string
		var values []any
		for i, column := range strings.Fields(of.columns) {
			name, proper, _ := strings.Cut(column, "=")
			columns, marks = append(columns, name), append(marks, "?")
			values = append(values, valueOf(types>>(4*i)&7, proper, address, small, large, text))
		}
		insert := "INSERT OR IGNORE INTO " + of.name + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ")"
		if _, err := db.Exec(insert, values...); err != nil {
			return // the database itself refuses it
		}
		readAll(t, s)
		w := &writer{Store: s, ctx: t.Context()}
		defer w.endSession()
		for range 2 { // what the first makes of it, the second meets
			if err := w.tidyAt(noon.Add(30 * time.Hour)); err != nil {
				t.Errorf("tidy up: %v", err)
			}
		}
		readAll(t, s)
	})
}

// valueOf makes a value of some type, proper or not.
func valueOf(kind uint64, proper string, address []byte, small, large int64, text string) any {
	switch kind {
	case 2:
		return int64(math.MaxInt64)
	case 3:
		return nil
	case 4:
		return text
	case 5:
		return []byte(text)
	case 6:
		return float64(large) / 3
	case 7:
		return -large
	}
	switch proper {
	case "b":
		if len(address) == 0 {
			return nil
		}
		return address
	case "n":
		return small
	case "i":
		return large
	case "s":
		return 60 + 3540*(small&1)
	case "f":
		return append([]byte{32}, address...)
	case "p":
		return append(append(append([]byte{byte(small)}, address...), 0), text...)
	case "k":
		return "ban"
	case "o":
		return "local"
	}
	return text
}

// readAll asks for everything that can be asked for, and for what is surely there.
func readAll(t *testing.T, s *Store) {
	t.Helper()
	ctx, found := t.Context(), false
	err := s.Bans(ctx, noon, func(b Ban) bool {
		found = found || b.Target == host(attacker)
		if !b.Target.IsValid() {
			t.Errorf("a ban of nobody: %+v", b)
		}
		return true
	})
	if err != nil || !found {
		t.Errorf("the ban in force is not found: %v", err)
	}
	for _, filter := range []Filter{{}, {Target: host(attacker)}, {Kinds: []Kind{Banned}, Policy: aBan.Policy, Since: noon.Add(-time.Minute), Limit: 5}} {
		all, err := s.History(ctx, filter)
		found = false
		for _, e := range all {
			found = found || e.Target == aBan.Target && e.Why == aBan.Why
			if _, err := e.Time.MarshalJSON(); err != nil {
				t.Error(err)
			}
		}
		if err != nil || !found && filter.Limit == 0 {
			t.Errorf("%+v: the entry is not found: %v", filter, err)
		}
	}
	if _, err := s.Offences(ctx, noon.Add(-time.Hour), 10); err != nil {
		t.Errorf("offences: %v", err)
	}
	for _, d := range Dimensions() {
		if _, err := s.Top(ctx, d, noon.Add(-time.Hour), 10); err != nil {
			t.Errorf("top %s: %v", d, err)
		}
	}
	if _, err := s.Timeline(ctx, noon.Add(-time.Hour), noon.Add(time.Minute), time.Minute); err != nil {
		t.Errorf("timeline: %v", err)
	}
	for _, a := range []netip.Addr{attacker, netip.MustParseAddr("203.0.113.66")} {
		if _, err := s.About(ctx, a); err != nil {
			t.Errorf("about %s: %v", a, err)
		}
	}
	if _, err := s.Missing(ctx, []netip.Prefix{host(attacker)}); err != nil { // a page of somebody's may stand before that of the ban
		t.Errorf("missing: %v", err)
	}
}

// TestOddRowSaid: one row that cannot be costs no other, and is said once.
func TestOddRowSaid(t *testing.T) {
	var log strings.Builder
	s := openIn(t, Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	s.Keep(Ban{Target: host(attacker), Since: noon})
	must(t, s.Flush(t.Context()))
	_, err := s.db.Load().Exec(`INSERT INTO banpages (first, bans) VALUES (x'30', 'the neighbour')`)
	must(t, err)
	for range 2 {
		if all := s.inForce(t); len(all) != 1 || all[0].Target != host(attacker) {
			t.Errorf("in force are %v", all)
		}
	}
	if n := strings.Count(log.String(), "rows of the history cannot be read"); n != 1 || !strings.Contains(log.String(), "a row that cannot be: bans after") {
		t.Errorf("said %d times:\n%s", n, &log)
	}
}

// TestOddPageHealed: bans in a page that cannot be read to its end are put back by whoever knows them, without an end of the history.
func TestOddPageHealed(t *testing.T) {
	lost := make(chan struct{}, 9)
	s := openIn(t, Config{Dir: t.TempDir(), Lost: func() { lost <- struct{}{} }})
	for i := range byte(3) {
		s.Keep(Ban{Target: host(netip.AddrFrom4([4]byte{192, 0, 2, i})), Since: noon})
	}
	s.Record(aBan)
	must(t, s.Flush(t.Context()))
	_, err := s.db.Load().Exec("UPDATE banpages SET bans = substr(bans, 1, length(bans) - 3)")
	must(t, err)
	if n := len(s.inForce(t)); n != 2 {
		t.Errorf("%d bans can be read", n)
	}
	s.Keep(Ban{Target: host(attacker), Since: noon})
	if n := len(s.inForce(t)); n != 3 || s.Stats().SetAside != 0 || len(s.history(t, Filter{})) != 1 {
		t.Errorf("%d bans, %+v", n, s.Stats())
	}
	select {
	case <-lost:
	default:
		t.Error("nobody is told that bans were lost")
	}
}

// TestOddRowsMoved: rows that cannot be are left out when those of version 1 are moved.
func TestOddRowsMoved(t *testing.T) {
	dir := t.TempDir()
	want := asVersion1(t, dir, 20)
	db, err := sql.Open("sqlite", filepath.Join(dir, File))
	must(t, err)
	_, err = db.Exec(`INSERT INTO bans VALUES (4, 32, 'the neighbour', 'yesterday', 'some day', 0, 'local', 'ann', ''), (4, 32, x'01020304', 1, 9223372036854775807, 0, '', '', '')`)
	must(t, err)
	must(t, db.Close())
	var log strings.Builder
	s := openIn(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if d := cmp.Diff(want, s.inForce(t), cmp.Comparer(samePrefix)); d != "" || !strings.Contains(log.String(), "rows=2") {
		t.Errorf("%s\n%s", d, &log)
	}
}

// TestForeign sets aside what says that it is ours, and is not.
func TestForeign(t *testing.T) {
	for name, change := range map[string]string{
		"negative version": "PRAGMA user_version = -1", "no table": "DROP TABLE banpages", "no column": "ALTER TABLE history DROP COLUMN outcome",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openIn(t, Config{Dir: dir})
			_, err := s.db.Load().Exec(change)
			must(t, err)
			must(t, s.Close())
			s = openIn(t, Config{Dir: dir})
			s.Record(aBan)
			if n := len(s.history(t, Filter{})); n != 1 || s.Stats().SetAside != 1 {
				t.Errorf("%d entries, %+v", n, s.Stats())
			}
		})
	}
}

// FuzzFilter asks for whatever somebody may want to see.
func FuzzFilter(f *testing.F) {
	f.Add([]byte{203, 0, 113, 0}, 24, "ban,unban", "it's; DROP TABLE history", int64(0), int64(1<<62), int64(-1), 3)
	f.Add([]byte{}, 0, "", "", int64(-1<<63), int64(-1<<63), int64(1), -1)
	f.Add([]byte("2001:db8::1 1234"), 128, "?", "%", int64(1), int64(1), int64(1<<62), 1<<40)
	s := openIn(f, Config{Dir: f.TempDir(), Log: slog.New(slog.DiscardHandler)})
	s.Record(aBan)
	f.Fuzz(func(t *testing.T, address []byte, bits int, kinds, policy string, since, until, before int64, limit int) {
		a, _ := netip.AddrFromSlice(address)
		filter := Filter{
			Target: netip.PrefixFrom(a.Unmap(), bits), Policy: policy, Since: time.UnixMilli(since), Until: time.UnixMilli(until), Before: before, Limit: limit,
		}
		for _, k := range strings.Split(kinds, ",") {
			if len(filter.Kinds) < 20 {
				filter.Kinds = append(filter.Kinds, Kind(k))
			}
		}
		all, err := s.History(t.Context(), filter)
		if err != nil {
			t.Error(err)
		}
		for _, e := range all {
			if filter.Target.IsValid() && !filter.Target.Overlaps(e.Target) {
				t.Errorf("%v finds %v", filter, e)
			}
		}
		if _, err := s.Top(t.Context(), Sources, filter.Since, limit); err != nil {
			t.Error(err)
		}
		_ = fmt.Sprint(all)
	})
}
