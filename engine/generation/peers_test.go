package generation

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/ruleset"
)

// The ways in which the timed rollbacks of other tools fail, each of which must not
// fail here. What needs processes to be stopped, killed or hung up on is in
// cmd/moonlatch/peers_test.go, and TestKill kills them at any point of a change.

// TestNetplanRevertsNothing: netplan try's rollback once did nothing at all. A lock-out
// expires over a confirmed generation, which is then in force as it was, to the byte.
func TestNetplanRevertsNothing(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.expect("confirmed", true, false)
	before := s.list()
	s.mustApply(short, FallbackPrevious, 80)
	s.expectOnTrial("on trial", false, true)
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

// TestNetopeerSecondTrialLosesTheBackup: a second trial overwrote what the first one was
// to fall back to. Here it replaces the first trial, and its fallback is the first one's.
func TestNetopeerSecondTrialLosesTheBackup(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	var first uint64
	inTime(t, short, func(trial time.Duration) error {
		first = s.mustApply(trial, FallbackPrevious).Number
		over := s.end
		g := s.mustApply(2*trial, FallbackOpen, 80)
		if time.Now().After(over) {
			return errors.Join(s.rollback(), ErrExpired)
		}
		if g.Number != first+1 || g.Fallback != FallbackPrevious {
			t.Errorf("second trial: %+v; want generation %d with the first fallback", g, first+1)
		}
		s.expectOnTrial("second trial", false, true)
		time.Sleep(time.Until(over.Add(300 * time.Millisecond)))
		return nil
	})
	s.expectOnTrial("after the first lease would have ended", false, true)
	s.waitOver()
	s.expect("after the second lease", true, false)
	if l := s.list(); strings.Contains(l, ruleset.Table(first)+" ") {
		t.Errorf("the replaced trial is left behind:\n%s", l)
	}
}

// TestNetopeerFailedApplyArmsARollback: a change that failed left its rollback armed. The
// kernel refuses a ruleset during a trial, which goes on and ends as it would have.
func TestNetopeerFailedApplyArmsARollback(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.mustApply(2*short, FallbackPrevious, 80)
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
	if after := s.list(); len(strings.Fields(after)) != len(strings.Fields(before)) && time.Now().Before(s.end) {
		t.Errorf("the refused apply changed something:\n%s\nbefore:\n%s", after, before)
	}
	s.expectOnTrial("the first trial goes on", false, true)
	waitExpiry(2 * short)
	s.expect("and ends on time", true, false)
	if n, err := s.m.store.numbers(); err != nil || len(n) != 2 {
		t.Errorf("stored generations %v, %v; want 1 and 2", n, err)
	}
}

// TestShorewallTryRevertsTheConfirmed: shorewall try reverts whatever happens. Nothing of
// a trial stays behind a confirm: no lease, no other generation, not one instruction
// more on a packet's path.
func TestShorewallTryRevertsTheConfirmed(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	inTime(t, short, func(trial time.Duration) error {
		s.mustApply(trial, FallbackPrevious, 80)
		_, err := s.confirm()
		return err
	})
	time.Sleep(time.Until(s.end.Add(300 * time.Millisecond)))
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

// TestNetopeerFailedApplyLeavesNothing: with nothing on trial, a refused ruleset
// leaves no rollback that could come later.
func TestNetopeerFailedApplyLeavesNothing(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	before := s.list()
	bad := only(22)
	bad.Chains[0].Rules[0].Items = []ruleset.Item{ruleset.Text("masquerade")}
	if err := s.applyRuleset(bad); err == nil {
		t.Fatal("the ruleset is not refused")
	}
	if after := s.list(); blank(after) != blank(before) {
		t.Errorf("the refused ruleset changed something:\n%s\nbefore:\n%s", after, before)
	}
	if err := s.rollback(); !errors.Is(err, ErrNoTrial) {
		t.Errorf("roll back: %v, want ErrNoTrial", err)
	}
}

// TestFoomuuriUnconfirmedBecomesTheBackup: foomuuri replaces the file that it falls back
// to before anybody confirms. What the next boot restores stays as it is, through a
// trial and its end, until the kernel has taken the confirm.
func TestFoomuuriUnconfirmedBecomesTheBackup(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	before, err := os.ReadFile(s.m.store.confirmedPath())
	must(t, err)
	stored := func(when string) {
		t.Helper()
		now, err := os.ReadFile(s.m.store.confirmedPath())
		if err != nil || !bytes.Equal(now, before) {
			t.Errorf("%s: the file that the next boot goes by is another: %s, %v", when, now, err)
		}
		if marked, err := s.m.store.marked(); err != nil || len(marked) != 1 {
			t.Errorf("%s: known as confirmed: %v, %v", when, marked, err)
		}
	}
	s.mustApply(short, FallbackPrevious, 80)
	stored("on trial")
	waitExpiry(short)
	if _, err := s.confirm(); !errors.Is(err, ErrExpired) {
		t.Errorf("confirm after the deadline: %v", err)
	}
	stored("after a confirm that was refused")
}

// TestOpenWrtRebootKeepsTheUnconfirmed: rpcd writes a change down before it is confirmed,
// and a timer of systemd-run's is lost with the boot. A boot in the midst of a trial
// restores what was confirmed, and with nothing confirmed nothing.
func TestOpenWrtRebootKeepsTheUnconfirmed(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious)
	s.reboot()
	if r, err := s.restore(); !errors.Is(err, ErrNoStore) {
		t.Errorf("restored %+v, %v; want ErrNoStore", r, err)
	}
	s.expect("rebooted with nothing confirmed", true, true)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.mustApply(long, FallbackPrevious)
	s.reboot()
	if r, err := s.restore(); err != nil || r.Generation.Number != 2 {
		t.Errorf("restored %+v, %v; want generation 2", r, err)
	}
	s.expect("rebooted in the midst of a trial", true, false)
}

// TestIptablesApplyDeletesTheBackup: its trap deletes the backup before it is restored.
// Here the whole state directory is lost during a lock-out, and the fallback is in
// force in time all the same: the kernel holds it.
func TestIptablesApplyDeletesTheBackup(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.mustApply(short, FallbackPrevious)
	must(t, os.RemoveAll(filepath.Join(s.dir, "generations")))
	must(t, os.Remove(s.m.store.confirmedPath()))
	s.expectOnTrial("locked out", false, false)
	waitExpiry(short)
	s.expect("after the lease", true, false)
}

// TestOneLookUpPerChain: a trial costs a packet one look-up in each base chain that it
// passes, of both generations, and a confirm leaves none.
func TestOneLookUpPerChain(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	count := func(when string, want map[string]int) {
		t.Helper()
		l := s.list()
		for what, n := range want {
			if got := strings.Count(l, what); got != n {
				t.Errorf("%s: %q is listed %d times, want %d:\n%s", when, what, got, n, l)
			}
		}
	}
	// The ruleset has two base chains: one of the inet family, one of the bridge family.
	count("first trial", map[string]int{"@lease": 2, "@yield": 0, "@": 2})
	s.mustConfirm()
	count("confirmed", map[string]int{"@": 0, "set ": 0})
	s.mustApply(long, FallbackPrevious, 80)
	count("second trial", map[string]int{"@lease": 2, "@yield": 2, "@": 4})
	s.mustConfirm()
	count("confirmed again", map[string]int{"@": 0, "set ": 0})
	s.applyAlive(long, brief, 22)
	count("with a liveness lease", map[string]int{"@lease": 2, "@alive": 2, "@yield": 2})
	s.mustConfirm()
	count("with a liveness lease, confirmed", map[string]int{"@alive": 2, "@": 2})
}
