package generation

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"moonlatch/engine/ruleset"
)

// brief is a liveness lease shorter than Apply takes, for tests to wait for.
const brief = time.Second

// applyAlive applies a ruleset with a liveness lease of any length.
func (s *server) applyAlive(trial, lease time.Duration, ports ...uint16) {
	s.t.Helper()
	s.end = time.Now().Add(trial)
	s.in(func() error {
		return s.m.locked(s.t.Context(), func(c *change) error {
			_, err := c.apply(s.t.Context(), Request{Ruleset: only(ports...), Confirm: trial, Fallback: FallbackPrevious, Lease: lease})
			return err
		})
	})
}

func (s *server) mustRenew() {
	s.t.Helper()
	s.in(func() error { return s.m.Renew(s.t.Context()) })
}

// renewing renews the leases now and then until the function it returns is called.
func (s *server) renewing(every time.Duration) (stop func()) {
	s.renewed.Store(&time.Time{})
	ctx, cancel := context.WithCancel(s.t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			if err := s.host.Do(func() error { return s.m.Renew(ctx) }); err != nil && ctx.Err() == nil {
				s.t.Error(err)
			}
			s.renewed.Store(&began)
			time.Sleep(every)
		}
	})
	return func() { cancel(); wait.Wait() }
}

// closedWhileRenewed checks that a port is closed before the given time, as far as the lease was surely renewed in time.
func (s *server) closedWhileRenewed(port string, before time.Time) {
	s.t.Helper()
	renewed := *s.renewed.Load()
	if s.reaches(port) && time.Since(renewed) < brief && time.Now().Before(before) {
		s.t.Errorf("port %s is open while the lease is renewed", port)
	}
}

// expectRenewed checks that what renews the lease closes port 80 until that runs out.
func (s *server) expectRenewed(renew func()) {
	s.t.Helper()
	began := time.Now()
	renew()
	s.renewed.Store(&began)
	s.closedWhileRenewed("80", began.Add(brief))
	s.opens("22")
}

// opens waits until a port is open.
func (s *server) opens(port string) {
	s.t.Helper()
	for end := time.Now().Add(long); !s.reaches(port); {
		if time.Now().After(end) {
			s.t.Fatalf("port %s stays closed", port)
		}
	}
}

// TestLivenessLease lets the lease of a confirmed generation run out, and takes it
// back, over and over.
func TestLivenessLease(t *testing.T) {
	s := newServer(t)
	s.applyAlive(long, brief, 22)
	s.mustConfirm()
	stop := s.renewing(brief / 10)
	for start := time.Now(); time.Since(start) < 2*brief; {
		s.closedWhileRenewed("80", start.Add(long))
	}
	stop()
	waitExpiry(brief)
	s.expect("not renewed", true, true)
	st := s.state()
	if st.InForce() != nil || st.Current() == nil || !st.Alive().Over() || st.Alive().Lease != brief {
		t.Errorf("state when it ran out: %+v", st)
	}
	s.expectRenewed(s.mustRenew)
	s.mustRenew()
	renewed := time.Now()
	if st := s.state(); (st.InForce() == nil || st.Alive().Left > brief || st.Alive().Left == 0) && time.Since(renewed) < brief/2 {
		t.Errorf("state when it is renewed: %+v", st)
	}
	l := s.list()
	if n := strings.Count(l, ruleset.AliveComment); n != 2 || strings.Contains(l, ruleset.LeaseComment) {
		t.Errorf("want a look-up in each of the two base chains:\n%s", l)
	}
}

// TestLivenessLeaseOnTrial renews both generations, so that the confirmed one is in
// force when the trial ends, which no renewal puts off.
func TestLivenessLeaseOnTrial(t *testing.T) {
	s := newServer(t)
	s.applyAlive(long, brief, 22)
	s.mustConfirm()
	s.applyAlive(2*brief, brief, 80)
	stop := s.renewing(brief / 10)
	defer stop()
	s.opens("80")
	for time.Now().Before(s.end) {
		s.closedWhileRenewed("22", s.end)
	}
	s.waitOver()
	s.opens("22")
	s.closedWhileRenewed("80", time.Now().Add(long))
}

// TestLivenessLeaseOfATrialEndsOpen has the daemon die in the midst of a trial.
func TestLivenessLeaseOfATrialEndsOpen(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.applyAlive(3*brief, brief, 80)
	applied := s.end.Add(-3 * brief)
	s.renewed.Store(&applied)
	s.closedWhileRenewed("22", s.end)
	waitExpiry(brief)
	s.expectOnTrial("not renewed", true, true)
	if st := s.state(); (st.InForce() != nil || !st.TrialAlive.Over() || st.ConfirmedAlive.Lease != 0) && time.Now().Before(s.end) {
		t.Errorf("state: %+v", st)
	}
	s.waitOver()
	s.expect("after the trial", true, false) // the confirmed one has no lease
}

// TestRenewWaitsForNoLock renews while another process holds the lock for long, and
// while one loads a large set.
func TestRenewWaitsForNoLock(t *testing.T) {
	s := newServer(t)
	s.applyAlive(long, brief, 22)
	s.mustConfirm()
	lock, err := s.m.store.lock(t.Context())
	must(t, err)
	stop := s.renewing(brief / 10)
	held := time.Now()
	for s.renewed.Load().Before(held.Add(brief)) {
		if time.Since(held) > long {
			t.Fatal("not renewed while the lock is held")
		}
		time.Sleep(brief / 10)
	}
	s.closedWhileRenewed("80", held.Add(long))
	lock.Close()
	must(t, s.applyRuleset(blocking(t)))
	must(t, s.rollback())
	stop()
}

// TestRenewBesideChanges renews without a pause while generations come and go.
func TestRenewBesideChanges(t *testing.T) {
	s := newServer(t)
	s.applyAlive(long, brief, 22)
	s.mustConfirm()
	defer s.renewing(0)()
	for range 20 {
		s.applyAlive(long, brief, 22)
		must(t, s.rollback())
	}
}

// TestRenewNothing changes nothing where no generation has a lease.
func TestRenewNothing(t *testing.T) {
	s := newServer(t)
	s.mustRenew()
	s.mustApply(long, FallbackPrevious, 22)
	before := s.list()
	s.mustRenew()
	if after := s.list(); strings.Count(after, "expires") != strings.Count(before, "expires") || strings.Contains(after, ruleset.Alive) {
		t.Errorf("renewed something:\n%s", after)
	}
}

// TestRestoreWithLease: after a boot, too, a generation filters only while it is renewed.
func TestRestoreWithLease(t *testing.T) {
	s := newServer(t)
	s.applyAlive(long, brief, 22)
	s.mustConfirm()
	s.reboot()
	s.expectRenewed(func() {
		_, err := s.restore()
		must(t, err)
	})
	waitExpiry(brief)
	s.expect("not renewed", true, true)
	s.expectRenewed(s.mustRenew)
}

// TestBadLeases are refused before anything changes.
func TestBadLeases(t *testing.T) {
	s := newServer(t)
	for _, d := range []time.Duration{-time.Second, time.Second, 2 * time.Hour} {
		s.in(func() error {
			_, err := s.m.Apply(t.Context(), Request{Ruleset: only(22), Confirm: long, Fallback: FallbackPrevious, Lease: d})
			if err == nil || errors.Is(err, ErrBusy) {
				t.Errorf("a lease of %s was accepted", d)
			}
			return nil
		})
	}
	if l := s.list(); l != "" {
		t.Errorf("something was changed:\n%s", l)
	}
}
