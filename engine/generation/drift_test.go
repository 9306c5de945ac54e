package generation

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// applyHealed applies and confirms a ruleset with a set of the author's.
func (s *server) applyHealed(trial time.Duration, fallback Fallback, ports ...uint16) {
	s.t.Helper()
	r := only(ports...)
	r.Sets = blockingAmong(s.t, 3).Sets
	s.in(func() error {
		_, err := s.m.Apply(s.t.Context(), Request{Ruleset: r, Confirm: trial, Fallback: fallback, Drift: HealDrift})
		return err
	})
}

func (s *server) drift() *Drift {
	s.t.Helper()
	var d *Drift
	s.in(func() (err error) { d, err = s.m.Drift(s.t.Context(), nft.Change{}); return err })
	return d
}

func (s *server) heal() *Drift {
	s.t.Helper()
	var d *Drift
	s.in(func() (err error) { d, err = s.m.Heal(s.t.Context(), nft.Change{}); return err })
	return d
}

// somebody else changes the ruleset.
func (s *server) somebody(text string) {
	s.t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	var out strings.Builder
	cmd.Stderr = &out
	must(s.t, s.host.Start(cmd))
	if err := cmd.Wait(); err != nil {
		s.t.Fatalf("nft: %v\n%s", err, out.String())
	}
}

func (s *server) wantNoDrift(when string) {
	s.t.Helper()
	if d := s.drift(); d != nil {
		s.t.Errorf("%s: drift, %s", when, d.What)
	}
}

// TestDriftOfAConfirmed has somebody change a confirmed generation in every way:
// each is seen, and healed so that the ruleset lists as before.
func TestDriftOfAConfirmed(t *testing.T) {
	s := newServer(t)
	s.applyHealed(long, FallbackPrevious, 22)
	s.wantNoDrift("on trial")
	s.mustConfirm()
	s.wantNoDrift("confirmed")
	before := s.list()
	for _, edit := range []string{
		"flush ruleset",
		"delete table inet moonlatch_1",
		"delete table bridge moonlatch_1",
		"flush table inet moonlatch_1",
		"flush chain inet moonlatch_1 input",
		"insert rule inet moonlatch_1 input accept",
		"chain inet moonlatch_1 input { policy accept; }",
		"add chain inet moonlatch_1 more { type filter hook input priority -1; policy drop; }",
		"add element inet moonlatch_1 feed4 { 203.0.113.1 }",
		"delete element inet moonlatch_1 feed4 { 10.0.0.1 }",
		"add table inet moonlatch_1 { flags dormant; }",
		"add set inet moonlatch_1 yield { typeof meta nfproto; }; add element inet moonlatch_1 yield { ipv4, ipv6 }",
		"add table inet moonlatch_9; delete table inet moonlatch_1",
	} {
		s.somebody(edit)
		d := s.heal()
		if d == nil || d.What == "" || d.Mode != HealDrift {
			t.Errorf("%s: drift %+v", edit, d)
		}
		if after := s.list(); blank(after) != blank(before) {
			t.Errorf("%s, healed:\n%s\nwant:\n%s", edit, after, before)
		}
		s.wantNoDrift(edit + ", healed")
	}
	s.expect("healed", true, false)
}

// TestApplyAfterAFlush applies a policy before anybody has healed what somebody flushed: when the
// trial ends, what was confirmed filters.
func TestApplyAfterAFlush(t *testing.T) {
	t.Parallel()
	s := newHost(t)
	s.applyHealed(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.somebody("flush ruleset")
	s.applyHealed(time.Second, FallbackPrevious, 80)
	s.waitOver()
	s.expect("after the trial", true, false)
}

// TestFlushDuringAChange: what is meant is what the change leads to, not what somebody has left of it.
func TestFlushDuringAChange(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		trial  bool
		change func(*change) error
		want   uint64
	}{
		"nothing to do": {false, func(*change) error { return nil }, 1},
		"confirm":       {true, (*change).confirm, 2},
		"roll back":     {true, (*change).rollback, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newHost(t)
			s.applyHealed(long, FallbackPrevious, 22)
			s.mustConfirm()
			if tt.trial {
				s.applyHealed(long, FallbackPrevious, 80)
			}
			must(t, s.m.changing(t.Context(), func(c *change) error {
				err := tt.change(c)
				s.somebody("flush ruleset")
				return err
			}))
			s.heal()
			if st := s.state(); st.Confirmed == nil || st.Confirmed.Number != tt.want || st.Trial != nil {
				t.Errorf("%+v, want generation %d", st, tt.want)
			}
		})
	}
}

// TestDriftByAnotherClock has what is meant written down by a process whose clock is
// another one: a trial that is put back never gets more time for it.
func TestDriftByAnotherClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-time.Hour, 2 * time.Second, time.Hour} {
		s := newHost(t)
		s.applyHealed(long, FallbackPrevious, 22)
		s.mustConfirm()
		s.applyHealed(long, FallbackPrevious, 80)
		i, ok := s.m.store.intent()
		if !ok || i.Trial != 2 {
			t.Fatalf("what is meant: %+v, %t", i, ok)
		}
		i.At, i.Clock = i.At.In(ahead), "time:[1]"
		must(t, s.m.store.setIntent(i))
		s.somebody("flush ruleset")
		s.heal()
		if st := s.state(); st.Confirmed == nil || st.Confirmed.Number != 1 || st.Trial != nil {
			t.Errorf("a clock %s ahead: %+v, want generation 1 and no trial", ahead, st)
		}
		s.expect("healed", true, false)
	}
}

// TestDriftOfATrial has somebody meddle with a trial: it is put back with the time
// that it had left, and ends when it would have ended.
func TestDriftOfATrial(t *testing.T) {
	t.Parallel()
	var hosts []*server
	for _, edit := range []string{
		"flush ruleset",
		"delete table inet moonlatch_1",
		"delete table inet moonlatch_2",
		"flush chain inet moonlatch_2 input", // its policy then drops everything, with no lease
		"flush set inet moonlatch_2 lease",
		"flush set inet moonlatch_1 yield",
		"flush set inet moonlatch_2 lease; add element inet moonlatch_2 lease { ipv4 timeout 1h, ipv6 timeout 1h }",
		"flush set inet moonlatch_2 lease; add element inet moonlatch_2 lease { ipv4, ipv6 }",
		"flush set inet moonlatch_1 yield; add element inet moonlatch_1 yield { ipv4, ipv6 }",
	} {
		s := newHost(t)
		hosts = append(hosts, s)
		s.applyHealed(long, FallbackPrevious, 22)
		s.mustConfirm()
		inTime(t, 4*time.Second, func(trial time.Duration) error { return s.healTrial(trial, edit) })
	}
	for _, s := range hosts {
		s.waitOver()
		s.expect("after the deadline", true, false)
		s.wantNoDrift("after the deadline")
	}
}

// healTrial has somebody edit a trial of generation 2, or of a later one, and heals that. What is wrong then may
// be because the trial was over by then, or because this process had to wait in the midst of it.
func (s *server) healTrial(trial time.Duration, edit string) error {
	s.applyHealed(trial, FallbackPrevious, 80)
	end := time.Now().Add(trial)
	n := s.state().Trial.Number
	wrong := func(what string, args ...any) error {
		return errors.Join(fmt.Errorf(edit+": "+what+": %w", append(args, ErrExpired)...), s.rollback())
	}
	if d := s.drift(); d != nil {
		return wrong("before it there is drift, %s", d.What)
	}
	if edit == "flush ruleset" { // what has passed is not given back
		time.Sleep(slack + slack/2)
	}
	s.somebody(strings.ReplaceAll(edit, "moonlatch_2", ruleset.Table(n)))
	if d := s.heal(); d == nil {
		return wrong("not seen")
	}
	if d := s.drift(); d != nil {
		return wrong("healed, there is drift, %s", d.What)
	}
	st := s.state()
	if st.Confirmed == nil || st.Confirmed.Number != 1 || st.Trial == nil || st.Trial.Number != n || st.Expired || st.Deadline.After(end.Add(slack)) {
		return wrong("healed: %+v, want the trial until %s", st, end)
	}
	return nil
}

// TestDriftOfAGate takes a gate's rule out of a trial, which would then never end.
func TestDriftOfAGate(t *testing.T) {
	s := newServer(t)
	s.applyHealed(long, FallbackPrevious, 80)
	s.in(func() error {
		rules, err := s.nft.Rules(nft.Table{Family: nft.Inet, Name: "moonlatch_1"})
		must(t, err)
		for _, r := range rules {
			if r.Comment == ruleset.LeaseComment {
				s.somebody(fmt.Sprintf("delete rule inet moonlatch_1 %s handle %d", r.Chain, r.Handle))
			}
		}
		return nil
	})
	if strings.Contains(s.list(), "chain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t\tmeta nfproto") {
		t.Fatal("the rule is still there")
	}
	if d := s.heal(); d == nil {
		t.Fatal("not seen")
	}
	if !strings.Contains(s.list(), "policy drop;\n\t\tmeta nfproto != @lease accept") {
		t.Errorf("healed:\n%s", s.list())
	}
}

// TestDriftSeenLate has this process wait for a processor between its look at the kernel and its look at the
// clock, and while it writes down what is meant: no trial is prolonged by that.
func TestDriftSeenLate(t *testing.T) {
	s := newServer(t)
	s.applyHealed(long, FallbackPrevious, 22)
	i, ok := s.m.store.intent()
	if !ok {
		t.Fatal("nothing is meant")
	}
	must(t, s.m.locked(t.Context(), func(c *change) error {
		time.Sleep(slack + slack/2)
		if what := c.roles(i); what != "" {
			t.Errorf("looked at the clock late: %s", what)
		}
		return nil
	}))
	i.Left, i.Doubt = i.Left-2*slack, 2*slack
	must(t, s.m.store.setIntent(i))
	s.wantNoDrift("written down late")
	i.Doubt = 0
	must(t, s.m.store.setIntent(i))
	if s.drift() == nil {
		t.Error("a trial that was prolonged passes for meant")
	}
}

// TestHealMeansWhatWasMeant: what somebody changes in the moment in which everything
// is put back must not pass for meant.
func TestHealMeansWhatWasMeant(t *testing.T) {
	s := newServer(t)
	s.applyHealed(long, FallbackPrevious, 22)
	before, ok := s.m.store.intent()
	s.somebody("flush ruleset")
	s.heal()
	after, still := s.m.store.intent()
	if after.GenID = before.GenID; !ok || !still || !reflect.DeepEqual(before, after) {
		t.Errorf("meant before %+v, and after it was put back %+v", before, after)
	}
}

// TestHealOpen keeps a trial's fallback, and after it what fell open.
func TestHealOpen(t *testing.T) {
	s := newServer(t)
	s.applyHealed(long, FallbackPrevious, 22)
	s.mustConfirm()
	inTime(t, 3*time.Second, func(trial time.Duration) error {
		s.applyHealed(trial, FallbackOpen, 80)
		s.somebody("flush ruleset")
		s.heal()
		if st := s.state(); st.Trial == nil || st.Expired {
			return errors.Join(s.rollback(), ErrExpired)
		}
		return nil
	})
	s.waitOver()
	s.expect("after the deadline", true, true)
	s.in(func() error { _, err := s.m.Settle(t.Context()); return err })
	s.wantNoDrift("settled")
	s.somebody("flush ruleset")
	s.heal()
	if st := s.state(); !st.Aside || st.Confirmed == nil || st.Trial != nil {
		t.Errorf("healed once more: %+v, want generation 1 aside", st)
	}
}

// TestHealAfterTheDeadline puts back only what is to be in force by now.
func TestHealAfterTheDeadline(t *testing.T) {
	s := newServer(t)
	s.applyHealed(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.applyHealed(short, FallbackPrevious)
	s.somebody("flush ruleset")
	waitExpiry(short)
	if d := s.heal(); d == nil {
		t.Error("not seen")
	}
	s.expect("healed", true, false)
	if st := s.state(); st.Trial != nil || st.Aside {
		t.Errorf("healed: %+v", st)
	}
}

// TestHealLargeSets fills them anew, and lets nobody in who is in them once it is done.
func TestHealLargeSets(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.in(func() error {
		_, err := s.m.Apply(t.Context(), Request{Ruleset: blockingAmong(t, 10_000), Confirm: long, Fallback: FallbackPrevious, Drift: HealDrift})
		return err
	})
	s.expect("on trial", false, false)
	before := s.list()
	s.somebody("delete table inet moonlatch_2")
	s.heal()
	s.expect("healed", false, false)
	if after := s.list(); len(strings.Fields(after)) != len(strings.Fields(before)) {
		t.Errorf("healed: %d words are listed, want %d", len(strings.Fields(after)), len(strings.Fields(before)))
	}
	s.mustConfirm()
	s.somebody("flush table inet moonlatch_2")
	s.heal()
	s.expect("healed once more", false, false)
	s.wantNoDrift("healed once more")
}

// TestDriftHeard: of a large set, whose content nobody lists, hearing of a change is enough.
func TestDriftHeard(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	must(t, s.applyRuleset(blockingAmong(t, 10_000)))
	s.mustConfirm()
	var m *nft.Monitor
	s.in(func() (err error) { m, err = s.nft.Monitor(); return err })
	defer m.Close()
	s.somebody("delete element inet moonlatch_2 feed4 { 10.0.0.1 }; add element inet moonlatch_2 feed4 { 203.0.113.1 }")
	heard, err := m.Next(t.Context())
	must(t, err)
	s.in(func() error {
		d, err := s.m.Drift(t.Context(), heard)
		if d == nil || !strings.Contains(d.What, "feed4") || d.Mode != ReportDrift {
			t.Errorf("drift %+v, %v", d, err)
		}
		heard.GenID = 1 // long before
		if d, err = s.m.Drift(t.Context(), heard); d != nil {
			t.Errorf("what was heard before we changed it ourselves is drift: %+v", d)
		}
		return err
	})
}

// TestOwnChangesAreNoDrift walks through everything that moonlatch itself does,
// seen by another process.
func TestOwnChangesAreNoDrift(t *testing.T) {
	s := newServer(t)
	s.wantNoDrift("at first")
	step := func(what string, do func() error) {
		t.Helper()
		s.in(do)
		s.open()
		s.wantNoDrift(what)
	}
	apply := func(trial, lease time.Duration, f Fallback) func() error {
		return func() error {
			_, err := s.m.Apply(t.Context(), Request{Ruleset: only(22), Confirm: trial, Fallback: f, Lease: lease, Drift: HealDrift})
			return err
		}
	}
	confirm := func() error { _, err := s.m.Confirm(t.Context(), 0); return err }
	rollback := func() error { return s.m.Rollback(t.Context(), 0) }
	step("applied", apply(long, 0, FallbackPrevious))
	step("confirmed", confirm)
	step("applied again", apply(long, ruleset.MinLease, FallbackPrevious))
	step("applied over it", apply(long, ruleset.MinLease, FallbackPrevious))
	step("extended", func() error { _, _, err := s.m.Extend(t.Context(), time.Minute); return err })
	step("renewed", func() error { return s.m.Renew(t.Context()) })
	step("rolled back", rollback)
	step("applied a third time", apply(long, ruleset.MinLease, FallbackPrevious))
	step("confirmed", confirm)
	step("applied for a moment", apply(short, 0, FallbackOpen))
	waitExpiry(short)
	s.wantNoDrift("expired")
	step("settled", func() error { _, err := s.m.Settle(t.Context()); return err })
	step("brought back", rollback)
	step("not confirmed", func() error { confirm(); return nil })
	step("reset", func() error { _, err := s.m.Reset(t.Context()); return err })
	if l := s.list(); l != "" {
		t.Errorf("after the reset there is:\n%s", l)
	}
	step("restored", func() error { _, err := s.m.Restore(t.Context()); return err })
	s.expect("restored", true, false)
}

// TestDiedInAChange is a process that died after a reset and before it had written
// that down: nobody may put back what it took away.
func TestDiedInAChange(t *testing.T) {
	s := newServer(t)
	s.applyHealed(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.in(func() error {
		return s.m.locked(t.Context(), func(c *change) error {
			must(t, c.store.dropIntent())
			tx := c.nft.Begin()
			deleteTables(tx, c.confirmed)
			return tx.Commit()
		})
	})
	if d := s.heal(); d != nil {
		t.Errorf("healed %+v", d)
	}
	if l := s.list(); l != "" {
		t.Errorf("put back:\n%s", l)
	}
}

// TestDriftUnknown: a damaged intent, and one of another boot, mean nothing.
func TestDriftUnknown(t *testing.T) {
	s := newServer(t)
	s.applyHealed(long, FallbackPrevious, 22)
	s.mustConfirm()
	i, ok := s.m.store.intent()
	if !ok {
		t.Fatal("no intent")
	}
	i.At.Boot = "another"
	b, err := seal(i)
	must(t, err)
	for _, content := range [][]byte{nil, []byte("{}\n"), b[:len(b)/2], b} {
		s.somebody("insert rule inet moonlatch_1 input accept")
		must(t, os.WriteFile(s.m.store.intentPath(), content, 0o600))
		s.wantNoDrift("with the intent " + string(content))
		s.somebody("insert rule inet moonlatch_1 input accept")
		if s.drift() == nil { // what was found first is what is meant since
			t.Errorf("with the intent %q, drift is not seen ever after", content)
		}
	}
}
