package generation

import (
	"errors"
	"os"
	"testing"
	"time"

	"moonlatch/engine/boottime"
)

// TestArmed tells when a generation came into force by a clock that nobody sets,
// and tells nothing where that was not written down.
func TestArmed(t *testing.T) {
	s := newServer(t)
	before, err := boottime.Now()
	must(t, err)
	s.mustApply(long, FallbackPrevious, 22)
	after, err := boottime.Now()
	must(t, err)
	at := s.state().Trial.Armed
	since, ok := at.Sub(before)
	until, known := after.Sub(at)
	if !ok || !known || since < 0 || until < 0 {
		t.Errorf("armed at %v, not between %v and %v", at, before, after)
	}
	s.in(func() error { _, _, err := s.m.Extend(t.Context(), time.Minute); return err })
	if now := s.state().Trial.Armed; now != at {
		t.Errorf("armed at %v, and after an extension at %v", at, now)
	}
	must(t, os.WriteFile(s.m.store.armedPath(1), []byte(`{"boot":`), 0o600))
	if at := s.state().Trial.Armed; at != (boottime.Instant{}) {
		t.Errorf("armed at %v, says a damaged file", at)
	}
	must(t, os.Remove(s.m.store.armedPath(1)))
	if at := s.state().Trial.Armed; at != (boottime.Instant{}) {
		t.Errorf("armed at %v, says no file at all", at)
	}
	s.mustConfirm()
}

// TestMeant confirms and rolls back a certain generation, and never another one
// that has taken its place meanwhile.
func TestMeant(t *testing.T) {
	s := newServer(t)
	confirm := func(n uint64) (g Generation, err error) {
		s.in(func() error { g, err = s.m.Confirm(t.Context(), n); return nil })
		return g, err
	}
	rollback := func(n uint64) (err error) {
		s.in(func() error { err = s.m.Rollback(t.Context(), n); return nil })
		return err
	}
	s.mustApply(long, FallbackPrevious, 22)
	s.mustApply(long, FallbackPrevious, 22)
	if _, err := confirm(1); !errors.Is(err, ErrEnded) {
		t.Errorf("confirm of the generation replaced: %v", err)
	}
	if err := rollback(1); !errors.Is(err, ErrEnded) {
		t.Errorf("rollback of the generation replaced: %v", err)
	}
	if st := s.state(); st.Trial == nil || st.Trial.Number != 2 {
		t.Fatalf("on trial: %+v, want generation 2", st.Trial)
	}
	for range 2 { // the second time it is confirmed already
		if g, err := confirm(2); err != nil || g.Number != 2 {
			t.Errorf("confirm: %+v, %v", g, err)
		}
	}
	if err := rollback(2); !errors.Is(err, ErrEnded) {
		t.Errorf("rollback of the generation confirmed: %v", err)
	}
	s.mustApply(long, FallbackPrevious, 22)
	must(t, rollback(3))
	if _, err := confirm(3); !errors.Is(err, ErrEnded) {
		t.Errorf("confirm of the generation rolled back: %v", err)
	}
	if st := s.state(); st.Confirmed == nil || st.Confirmed.Number != 2 || st.Aside {
		t.Errorf("at the end: %+v", st)
	}
}
