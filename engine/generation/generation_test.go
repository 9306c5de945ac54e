package generation

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/netns/netnstest"
)

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "6") // most of these tests wait; the command line may say otherwise
	netnstest.Main(m)
}

const (
	long  = time.Minute
	short = 1200 * time.Millisecond
)

// TestFirstTrial locks everybody out with nothing confirmed before.
func TestFirstTrial(t *testing.T) {
	s := newServer(t)
	s.expect("before", true, true)
	s.mustApply(short, FallbackPrevious)
	s.expectOnTrial("locked out", false, false)
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
	s.mustApply(long, FallbackPrevious, 22)
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
