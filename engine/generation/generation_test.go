package generation

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/ruleset"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

const (
	long  = time.Minute
	short = 1200 * time.Millisecond
)

// TestFirstTrial locks everybody out with nothing confirmed before.
func TestFirstTrial(t *testing.T) {
	s := newServer(t)
	s.expect("before", true, true)
	s.mustApply(short, FallbackPrevious)
	s.expect("locked out", false, false)
	waitExpiry(short)
	s.expect("after the lease", true, true)
	if st := s.state(); !st.Expired || st.InForce() != nil {
		t.Errorf("state after the lease: %+v", st)
	}
	s.in(func() error {
		g, err := s.m.Settle(t.Context())
		must(t, err)
		if g == nil || g.Number != 1 {
			t.Errorf("settled %+v, want generation 1", g)
		}
		return nil
	})
	if l := s.list(); l != "" {
		t.Errorf("left behind:\n%s", l)
	}
}

// TestExpiryFallsBack lets a lock-out expire over a confirmed generation.
func TestExpiryFallsBack(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.expect("confirmed", true, false)
	before := s.list()
	s.mustApply(short, FallbackPrevious, 80)
	s.expect("on trial", false, true)
	waitExpiry(short)
	s.expect("after the lease, with nobody acting", true, false)
	if g, err := s.confirm(); !errors.Is(err, ErrExpired) {
		t.Errorf("confirm after the lease: %+v, %v; want ErrExpired", g, err)
	}
	s.expect("after the refused confirm", true, false)
	if after := s.list(); blank(after) != blank(before) {
		t.Errorf("the confirmed generation is not as it was:\n%s\nbefore:\n%s", after, before)
	}
	if g, err := s.m.Stored(); err != nil || g.Number != 1 {
		t.Errorf("stored as confirmed: %+v, %v; want generation 1", g, err)
	}
}

// blank takes out what differs between two listings of the same rules.
func blank(list string) string {
	fields := strings.Fields(list)
	for i := range fields {
		if i > 0 && (fields[i-1] == "packets" || fields[i-1] == "bytes") {
			fields[i] = "N"
		}
	}
	return strings.Join(fields, " ")
}

// TestConfirm checks that nothing of a trial stays behind a confirm: no lease, no
// other generation, not one instruction more on a packet's path.
func TestConfirm(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.mustApply(short, FallbackPrevious, 80)
	s.mustConfirm()
	waitExpiry(short)
	s.expect("long after the lease would have ended", false, true)
	l := s.list()
	for _, trace := range []string{ruleset.LeaseComment, ruleset.YieldComment, "set lease", "set yield", "moonlatch_1 "} {
		if strings.Contains(l, trace) {
			t.Errorf("%q is left behind in\n%s", trace, l)
		}
	}
	if _, err := s.confirm(); !errors.Is(err, ErrNoTrial) {
		t.Errorf("confirm with nothing on trial: %v, want ErrNoTrial", err)
	}
	if err := s.rollback(); !errors.Is(err, ErrNoTrial) {
		t.Errorf("roll back with nothing on trial: %v, want ErrNoTrial", err)
	}
}

func TestRollback(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	before := s.list()
	s.mustApply(long, FallbackPrevious, 80)
	must(t, s.rollback())
	s.expect("rolled back", true, false)
	if after := s.list(); blank(after) != blank(before) {
		t.Errorf("the confirmed generation is not as it was:\n%s\nbefore:\n%s", after, before)
	}
}

// TestSecondApply replaces a trial by another, whose fallback is the first one's.
func TestSecondApply(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.mustApply(short, FallbackPrevious)
	g := s.mustApply(2*short, FallbackOpen, 80)
	if g.Number != 3 || g.Fallback != FallbackPrevious {
		t.Errorf("second trial: %+v; want generation 3 with the first fallback", g)
	}
	s.expect("second trial", false, true)
	waitExpiry(short)
	s.expect("after the first lease would have ended", false, true)
	time.Sleep(short)
	s.expect("after the second lease", true, false)
	if l := s.list(); strings.Contains(l, "moonlatch_2 ") {
		t.Errorf("the replaced trial is left behind:\n%s", l)
	}
}

// TestFallbackOpen opens the firewall when the trial is not confirmed, until
// somebody brings the confirmed generation back.
func TestFallbackOpen(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.mustApply(short, FallbackOpen)
	waitExpiry(short)
	s.expect("after the lease", true, true)
	s.in(func() error { _, err := s.m.Settle(t.Context()); return err })
	s.expect("cleared away", true, true)
	if st := s.state(); !st.Aside || st.InForce() != nil {
		t.Errorf("state: %+v; want the confirmed generation aside", st)
	}
	must(t, s.rollback())
	s.expect("brought back", true, false)
}

// TestFailedApply gives the kernel a ruleset that it refuses, during a trial.
func TestFailedApply(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.mustApply(short, FallbackPrevious, 80)
	before := s.list()
	bad := only(22)
	bad.Chains[0].Rules[0].Items = []ruleset.Item{ruleset.Text("masquerade")} // nft -c accepts it here
	s.in(func() error {
		_, err := s.m.Apply(t.Context(), Request{Ruleset: bad, Confirm: long, Fallback: FallbackPrevious})
		var mistake *ruleset.Error
		if !errors.As(err, &mistake) || mistake.Pos.String() != "web.lua:7" {
			t.Errorf("error %v; want one at web.lua:7", err)
		}
		return nil
	})
	if after := s.list(); len(strings.Fields(after)) != len(strings.Fields(before)) {
		t.Errorf("the refused apply changed something:\n%s\nbefore:\n%s", after, before)
	}
	s.expect("the first trial goes on", false, true)
	waitExpiry(short)
	s.expect("and ends on time", true, false)
	if n, err := s.m.store.numbers(); err != nil || len(n) != 2 {
		t.Errorf("stored generations %v, %v; want 1 and 2", n, err)
	}
}

// TestBadRequests are refused before anything changes.
func TestBadRequests(t *testing.T) {
	s := newServer(t)
	for _, d := range []time.Duration{0, -time.Second, time.Millisecond, 1000 * time.Hour} {
		if _, err := s.apply(d, FallbackPrevious); err == nil {
			t.Errorf("a trial of %s was applied", d)
		}
	}
	if l := s.list(); l != "" {
		t.Errorf("something was changed:\n%s", l)
	}
	if _, err := ParseFallback("prevous"); err == nil || !strings.Contains(err.Error(), `did you mean "previous"`) {
		t.Errorf("ParseFallback: %v", err)
	}
}

// reboot forgets the kernel's tables and opens a new Manager.
func (s *server) reboot() {
	s.in(func() error { return s.nft.Run(context.Background(), []byte("flush ruleset\n")) })
	s.open()
}

// TestConfirmedButNotStored is a process that died between the kernel's confirm
// and the store's.
func TestConfirmedButNotStored(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	old, err := os.ReadFile(s.m.store.confirmedPath())
	must(t, err)
	s.mustApply(long, FallbackPrevious, 80)
	s.mustConfirm()
	for _, finish := range []func() (Generation, error){
		s.confirm,
		func() (Generation, error) {
			r, err := s.restore()
			return *r.Generation, err
		},
	} {
		must(t, os.WriteFile(s.m.store.confirmedPath(), old, 0o600))
		s.open()
		if g, err := finish(); err != nil || g.Number != 2 {
			t.Errorf("finished %+v, %v; want generation 2", g, err)
		}
		if g, err := s.m.Stored(); err != nil || g.Number != 2 {
			t.Errorf("stored %+v, %v; want generation 2", g, err)
		}
	}
}

// TestConfirmNeedsTheStore finds the state directory unusable before the kernel
// is changed.
func TestConfirmNeedsTheStore(t *testing.T) {
	s := newServer(t)
	s.mustApply(short, FallbackPrevious, 22)
	must(t, os.Mkdir(s.m.store.confirmedPath()+".new", 0o700)) // even root cannot write a folder
	if _, err := s.confirm(); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("confirm: %v", err)
	}
	if st := s.state(); st.Trial == nil {
		t.Errorf("state: %+v; want the trial to go on", st)
	}
}

// TestPrune keeps the store from growing without end, and what is in use in it.
func TestPrune(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	for range kept + 3 {
		s.mustApply(long, FallbackPrevious, 22)
	}
	s.mustConfirm()
	n, err := s.m.store.numbers()
	must(t, err)
	if len(n) > kept+1 || n[len(n)-1] != kept+4 {
		t.Errorf("stored generations: %v", n)
	}
}

// TestLock has one process wait for another, within its time.
func TestLock(t *testing.T) {
	s := newServer(t)
	lock, err := s.m.store.lock(t.Context())
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.m.Confirm(ctx, 0); !errors.Is(err, ErrBusy) {
		t.Errorf("confirm while the lock is held: %v, want ErrBusy", err)
	}
	lock.Close()
	if _, err := s.confirm(); !errors.Is(err, ErrNoTrial) {
		t.Errorf("confirm after the lock: %v, want ErrNoTrial", err)
	}
}

func TestReset(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious)
	s.mustConfirm()
	s.mustApply(long, FallbackPrevious)
	s.in(func() error {
		gone, err := s.m.Reset(t.Context())
		if err != nil || len(gone) != 2 {
			t.Errorf("reset: %v, %v; want two generations gone", gone, err)
		}
		return nil
	})
	s.expect("reset", true, true)
	if l := s.list(); l != "" {
		t.Errorf("left behind:\n%s", l)
	}
}
