package generation

import (
	"errors"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/ruleset"

	"moonlatch/engine/nft"
)

func (s *server) extend(d time.Duration) (g Generation, deadline time.Time, err error) {
	s.in(func() error { g, deadline, err = s.m.Extend(s.t.Context(), d); return nil })
	return g, deadline, err
}

// TestExtend prolongs a lock-out, which then ends at its new deadline, with the
// confirmed generation back and not a moment without either.
func TestExtend(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.mustApply(2*time.Second, FallbackPrevious, 80)
	g, deadline, err := s.extend(2 * time.Second)
	must(t, err)
	if left := time.Until(deadline); g.Number != 2 || left < time.Second || left > 4*time.Second {
		t.Errorf("extended %+v, which ends in %s; want generation 2, some 4 s", g, left)
	}
	st := s.state()
	if by := st.Deadline.Sub(deadline).Abs(); by > 100*time.Millisecond {
		t.Errorf("the kernel's deadline is %s off the one returned", by)
	}
	time.Sleep(time.Until(deadline.Add(-time.Second)))
	if s.reaches("22") && time.Now().Before(deadline) {
		t.Error("the trial ended at its first deadline")
	}
	time.Sleep(time.Until(deadline.Add(300 * time.Millisecond)))
	s.expect("after the new deadline, with nobody acting", true, false)
	if _, _, err := s.extend(long); !errors.Is(err, ErrExpired) {
		t.Errorf("extend after the deadline: %v, want ErrExpired", err)
	}
	s.expect("after the refused extension", true, false)
	if _, _, err := s.extend(long); !errors.Is(err, ErrNoTrial) {
		t.Errorf("extend with nothing on trial: %v, want ErrNoTrial", err)
	}
}

// TestExtendOpen: what stands aside for good keeps doing so.
func TestExtendOpen(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.mustApply(short, FallbackOpen)
	_, deadline, err := s.extend(time.Second)
	must(t, err)
	if l := s.list(); !strings.Contains(l, "elements = { ipv4, ipv6 }") {
		t.Errorf("the confirmed generation no longer stands aside for good:\n%s", l)
	}
	time.Sleep(time.Until(deadline.Add(300 * time.Millisecond)))
	s.expect("after the new deadline", true, true)
}

// TestExtendTooLate has the deadline pass between the last look at the kernel and the
// transaction, which the kernel must refuse.
func TestExtendTooLate(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.mustApply(short, FallbackPrevious, 80)
	s.in(func() error {
		return s.m.locked(t.Context(), func(c *change) error {
			waitExpiry(short)
			if err := c.extend(long); !errors.Is(err, nft.ErrNotExist) {
				t.Errorf("extend after the deadline: %v, want a refusal", err)
			}
			return nil
		})
	})
	s.expect("after the refused extension", true, false)
}

// TestExtendBadTimes are refused before anything changes.
func TestExtendBadTimes(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	for _, d := range []time.Duration{0, -time.Second, ruleset.MaxTrial, 1<<63 - 1} {
		if _, _, err := s.extend(d); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("extend by %s: %v", d, err)
		}
	}
	if st := s.state(); st.Left > long || st.Left == 0 {
		t.Errorf("%s left, want as before", st.Left)
	}
}
