package generation

import (
	"errors"
	"fmt"
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
	inTime(t, 2*time.Second, func(trial time.Duration) error {
		n := s.mustApply(trial, FallbackPrevious, 80).Number
		first := s.end
		g, deadline, err := s.extend(trial)
		if err != nil {
			return err
		}
		if g.Number != n || deadline.Before(first.Add(trial)) || time.Until(deadline) > 2*trial {
			t.Errorf("extended %+v, which ends at %s; want generation %d, and twice %s", g, deadline, n, trial)
		}
		if by := s.state().Deadline.Sub(deadline); by.Abs() > time.Second {
			return fmt.Errorf("the kernel's deadline is %s off the one returned: %w", by, ErrExpired)
		}
		s.end = deadline
		time.Sleep(time.Until(first.Add(trial / 2)))
		s.expectOnTrial("after the first deadline", false, true)
		return nil
	})
	s.waitOver()
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
	inTime(t, short, func(trial time.Duration) (err error) {
		s.mustApply(trial, FallbackOpen)
		_, s.end, err = s.extend(time.Second)
		if err != nil {
			return errors.Join(s.rollback(), err)
		}
		return nil
	})
	if l := s.list(); !strings.Contains(l, "elements = { ipv4, ipv6 }") {
		t.Errorf("the confirmed generation no longer stands aside for good:\n%s", l)
	}
	s.waitOver()
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
