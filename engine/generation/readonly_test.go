package generation

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// readOnly makes the state directory one, as a disk is after an error.
func (s *server) readOnly() {
	s.t.Helper()
	must(s.t, unix.Mount(s.dir, s.dir, "", unix.MS_BIND, ""))
	s.t.Cleanup(func() { unix.Unmount(s.dir, unix.MNT_DETACH) })
	must(s.t, unix.Mount("", s.dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
}

// TestResetOnAReadOnlyDiskIsNoDrift: what a reset took away stays away, although what was meant before is still on disk.
func TestResetOnAReadOnlyDiskIsNoDrift(t *testing.T) {
	s := newServer(t)
	s.applyHealed(time.Hour, FallbackPrevious, 22)
	s.confirm()
	s.readOnly()
	s.somebody("flush ruleset")
	if s.drift() == nil {
		t.Error("no drift is seen on a read-only disk")
	}
	s.in(func() error { _, err := s.m.Reset(t.Context()); return err })
	s.wantNoDrift("after a reset")
	if s.heal() != nil || !s.reaches("80") {
		t.Error("what was reset is back")
	}
}
