package store

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// newWriter is a writer of a Store whose own does nothing meanwhile.
func newWriter(t *testing.T, cfg Config) *writer {
	t.Helper()
	cfg.Dir, cfg.Daemon = t.TempDir(), true
	w := &writer{Store: openIn(t, cfg), ctx: context.Background()}
	t.Cleanup(w.endSession)
	return w
}

func (w *writer) number(t *testing.T, query string) (n int64) {
	t.Helper()
	must(t, w.db.Load().QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

// TestRollUp makes hours of minutes, of which no packet gets lost.
func TestRollUp(t *testing.T) {
	w := newWriter(t, Config{})
	now := noon.Truncate(time.Hour)
	minutes := []time.Duration{0, 30 * time.Minute, 59 * time.Minute, 60 * time.Minute, 26 * time.Hour}
	must(t, w.within(func(s *session) error {
		for _, ago := range minutes {
			at := now.Add(-48 * time.Hour).Add(ago).UnixMilli()
			for i := range hourRows + 500 {
				n := 1
				if i == 7 {
					n = 100
				}
				if err := s.exec(w.ctx, sqlSource, at, "closed", []byte{10, 0, byte(i >> 8), byte(i)}, n, now.UnixMilli(), "22/tcp"); err != nil {
					return err
				}
			}
			if err := s.exec(w.ctx, sqlPort, at, "closed", 6, 22, 10); err != nil {
				return err
			}
			if err := s.exec(w.ctx, sqlDropped, at, 5); err != nil {
				return err
			}
		}
		return nil
	}))
	count := func() [3]int64 {
		return [3]int64{w.number(t, "SELECT sum(events) FROM sources"), w.number(t, "SELECT sum(events) FROM ports"), w.number(t, "SELECT sum(packets) FROM dropped")}
	}
	before := count()
	must(t, w.tidyAt(now))
	must(t, w.tidyAt(now)) // and once more, for nothing
	if after := count(); after != before {
		t.Errorf("there were %v, and are %v", before, after)
	}
	if n := w.number(t, "SELECT count(*) FROM sources WHERE span = 60"); n != hourRows+500 {
		t.Errorf("%d rows of minutes; only those of the last %s are to be left", n, keepMinutes)
	}
	if n := w.number(t, "SELECT count(DISTINCT start) FROM sources WHERE span = 3600"); n != 2 {
		t.Errorf("%d hours, want 2", n)
	}
	if n := w.number(t, "SELECT max(n) FROM (SELECT count(*) AS n FROM sources WHERE span = 3600 GROUP BY start)"); n != hourRows+1 {
		t.Errorf("%d rows of an hour, want %d and one for the rest", n, hourRows)
	}
	top, err := w.Top(t.Context(), Sources, now.Add(-90*time.Hour), 1)
	must(t, err)
	if len(top) != 1 || top[0].Name != "10.0.0.7" || top[0].Events != int64(100*len(minutes)) {
		t.Errorf("top: %+v", top)
	}
}

// TestAge forgets what is old, and bans a day after they ended.
func TestAge(t *testing.T) {
	w := newWriter(t, Config{Keep: 48 * time.Hour})
	now := time.Now()
	for _, ago := range []time.Duration{0, 47 * time.Hour, 49 * time.Hour} {
		w.Record(Entry{Time: now.Add(-ago), Kind: Audited, Command: fmt.Sprint(ago)})
		w.Keep(Ban{Target: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(ago / time.Hour)}), 32), Since: now.Add(-50 * time.Hour), Until: now.Add(-ago / 2)})
	}
	w.Keep(Ban{Target: host(attacker), Since: now.Add(-1000 * time.Hour)})
	must(t, w.Flush(t.Context()))
	must(t, w.tidyAt(now))
	if n := len(w.history(t, Filter{})); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
	kept := 0
	must(t, w.Bans(t.Context(), now.Add(-100*time.Hour), func(Ban) bool { kept++; return true }))
	if n := kept; n != 3 {
		t.Errorf("%d bans, want the one without end and those that ended less than a day ago", n)
	}
}

// TestSize forgets the oldest where there is too much, and gives the room back. No ban in force goes.
func TestSize(t *testing.T) {
	w := newWriter(t, Config{MaxSize: 2 << 20})
	for i := range 20_000 {
		w.Record(Entry{Time: noon.Add(time.Duration(i) * time.Millisecond), Kind: Audited, Command: fmt.Sprintf("command %d with some words behind it", i)})
	}
	w.Keep(Ban{Target: host(attacker), Since: noon})
	must(t, w.Flush(t.Context()))
	was, err := w.used()
	must(t, err)
	if was <= w.cfg.MaxSize {
		t.Fatalf("%d bytes are not too many", was)
	}
	must(t, w.tidyAt(time.Now()))
	if used, err := w.used(); err != nil || used > w.cfg.MaxSize {
		t.Errorf("%d bytes are left, %v", used, err)
	}
	if free := w.number(t, "PRAGMA freelist_count"); free != 0 {
		t.Errorf("%d pages were not given back", free)
	}
	left := w.history(t, Filter{})
	if len(left) == 0 || left[0].Command != "command 19999 with some words behind it" {
		t.Errorf("%d entries are left, and not the latest", len(left))
	}
	if n := len(w.inForce(t)); n != 1 {
		t.Errorf("%d bans in force", n)
	}
}
