package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/control"
	"moonlatch/engine/feed"
	"moonlatch/engine/generation"
	"moonlatch/engine/policy"
)

// Why a trial ended without being confirmed.
const (
	byDeadline = iota // the kernel ended its lease
	byHand            // somebody rolled it back
	byReset           // somebody reset the firewall
)

// sync brings the daemon in step with the kernel: it clears away a trial that
// the kernel has ended, tells the bans how a trial came out, and runs the policy
// of the current generation.
func (d *Daemon) sync(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.generations.State()
	if err != nil {
		return err
	}
	if s.Trial != nil && s.Expired {
		if s, err = d.settle(ctx, s); err != nil {
			return err
		}
	}
	if err := d.followTrial(ctx, s); err != nil {
		return err
	}
	return d.runPolicyOf(ctx, s.Current())
}

func (d *Daemon) settle(ctx context.Context, s generation.State) (generation.State, error) {
	ended, err := d.generations.Settle(ctx)
	if err != nil {
		return s, err
	}
	if ended != nil {
		d.ended.Store(ended.Number)
		d.tell(feed.Item{Kind: feed.KindTrialEnd, Generation: &feed.Generation{
			Number: ended.Number, Policy: ended.Policy, Fallback: string(ended.Fallback),
		}})
		d.counters.rollbacks[byDeadline].Add(1)
	}
	return d.generations.State()
}

// followTrial tells the bans of a trial's beginning, extension and end: bans of a
// policy on trial must not outlive it.
func (d *Daemon) followTrial(ctx context.Context, s generation.State) error {
	on := uint64(0)
	if s.Trial != nil {
		on = s.Trial.Number
	}
	known := d.trial.Load()
	if on == known {
		return d.followDeadline(ctx, s)
	}
	if known != 0 && on == 0 {
		return d.endTrial(ctx, known, s.Confirmed != nil && s.Confirmed.Number == known)
	}
	d.trial.Store(on)
	d.deadline.Store(&s.Deadline)
	d.bans.BeginTrial(s.Deadline)
	return nil
}

// moved is by how much later a trial's deadline must be than the one known to mean
// that it was extended: no reading of it is late, but on a busy machine one may be early.
const moved = 100 * time.Millisecond

// followDeadline notices that the trial was extended, whoever did it.
func (d *Daemon) followDeadline(ctx context.Context, s generation.State) error {
	if d.trial.Load() == 0 || s.Expired || s.Deadline.Sub(*d.deadline.Load()) < moved {
		return nil
	}
	if err := d.bans.MoveTrial(ctx, s.Deadline); err != nil {
		return err
	}
	d.deadline.Store(&s.Deadline)
	d.tell(feed.Item{Kind: feed.KindExtend, Generation: &feed.Generation{Number: s.Trial.Number, Policy: s.Trial.Policy, Until: s.Deadline}})
	return nil
}

// endTrial is tried again by the next sync when the kernel does not take what it
// means for the bans.
func (d *Daemon) endTrial(ctx context.Context, number uint64, confirmed bool) error {
	if err := d.bans.EndTrial(ctx, confirmed); err != nil {
		return err
	}
	if rt := d.running.Load(); confirmed && rt != nil && rt.generation == number {
		d.memory.Keep(rt.memory)
	}
	d.trial.Store(0)
	d.deadline.Store(nil)
	if d.ended.Swap(number) != number {
		d.endedByOthers(number, confirmed)
	}
	if confirmed {
		d.caller.end(d.previous)
		d.previous = nil
		d.keepFeeds(d.running.Load())
	}
	return nil
}

// endedByOthers tells of a trial that somebody confirmed or rolled back without this daemon.
func (d *Daemon) endedByOthers(number uint64, confirmed bool) {
	kind := feed.KindRollback
	if confirmed {
		kind = feed.KindConfirm
	}
	d.tell(feed.Item{Kind: kind, Generation: &feed.Generation{Number: number, By: "another process"}})
}

// runPolicyOf makes the policy of the generation in force the one that runs:
// the one that stood aside for a trial, or else the stored one, run anew.
func (d *Daemon) runPolicyOf(ctx context.Context, g *generation.Generation) error {
	current, broken := d.running.Load(), d.broken.Load()
	switch {
	case g == nil && current == nil, g != nil && current != nil && current.generation == g.Number:
		return nil
	case g != nil && broken != nil && broken.Number == g.Number:
		return nil // said when it was found
	case g == nil:
		d.activate(nil)
		return nil
	case d.previous != nil && d.previous.generation == g.Number:
		rt := d.previous
		d.previous = nil
		d.activate(rt)
		d.log.Info("policy resumed", "generation", g.Number, "policy", g.Policy)
		return d.protect(ctx, rt.policy)
	}
	rt, err := d.loadStored(g)
	if err != nil {
		d.activate(nil)
		d.broken.Store(g)
		return fmt.Errorf("generation %d is in force, but its detectors and handlers do not run: %w", g.Number, err)
	}
	d.activate(rt)
	d.log.Info("policy running", "generation", g.Number, "policy", g.Policy)
	return d.protect(ctx, rt.policy)
}

// loadStored runs the policy of a generation as it was when it was applied.
func (d *Daemon) loadStored(g *generation.Generation) (*runtime, error) {
	files, err := d.generations.Files(g.Number)
	if err != nil {
		return nil, err
	}
	m := d.memory.Kept()
	if g.Number == d.trial.Load() {
		m = d.memory.Trial()
		d.memory.Begin(m)
	}
	p, err := policy.Load(bundle(files), g.Policy, inFolder(d.environment(m), g.Path))
	if err != nil {
		return nil, err
	}
	rt, err := newRuntime(g.Number, p)
	if err != nil {
		p.Close()
		return nil, err
	}
	if err := p.UnknownTargets(d.targets); err != nil {
		d.log.Warn("the policy notifies targets that are not there", "policy", g.Policy, "error", err)
	}
	rt.memory = m
	return rt, nil
}

// protect protects what a policy and this host need, and nothing that an
// earlier policy or another process protected.
func (d *Daemon) protect(ctx context.Context, p *policy.Policy) error {
	return errors.Join(
		d.protector.look(ctx),
		d.bans.Protect(ctx, protectPolicy, p.Protected()),
		d.protector.names.protect(ctx, p.ProtectedNames()),
		d.bans.Protect(ctx, ban.Kernel, nil),
		heed(d.bans, p),
	)
}

// activate makes rt, or nothing, the policy that packets meet from now on. The
// one before is closed, unless it waits for the end of a trial.
func (d *Daemon) activate(rt *runtime) {
	old := d.running.Swap(rt)
	d.broken.Store(nil)
	d.caller.switchTo(rt)
	d.liveness.lookNow()
	if old != d.previous {
		d.caller.end(old)
	}
	d.keepFeeds(rt, d.previous)
}

// Apply implements control.Service. The policy itself is on trial too: its
// detectors and handlers run from now on.
func (d *Daemon) Apply(ctx context.Context, req control.ApplyRequest) (control.Applied, error) {
	trial := d.memory.Trial()
	p, err := loadBundle(req, d.environment(trial))
	if err != nil {
		return control.Applied{}, err
	}
	untold, err := d.checkTargets(p)
	if err != nil {
		p.Close()
		return control.Applied{}, err
	}
	also, err := alsoProtected(p, d.protected, d.namesKept) // which may take a while
	if err != nil {
		p.Close()
		return control.Applied{}, explain(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	rt, err := newRuntime(0, p)
	if err != nil {
		p.Close()
		return control.Applied{}, err
	}
	applied, err := d.Firewall.apply(ctx, p, req, also)
	if err != nil {
		p.Close()
		return applied, explain(err)
	}
	d.protector.names.known(also.named)
	rt.generation, rt.memory = applied.Generation.Number, trial
	applied.Daemon = true
	if untold != "" {
		applied.Warnings = append(applied.Warnings, untold)
	}
	if err := d.tryPolicy(ctx, rt, req); err != nil {
		return applied, explain(err)
	}
	d.tell(onTrial(applied, req))
	return applied, nil
}

// deadlineOf is when the trial of a generation that was just applied ends.
func deadlineOf(a control.Applied) time.Time {
	return time.Now().Add(time.Duration(a.Left * float64(time.Second))).Round(time.Second)
}

// tryPolicy runs the policy of a generation that has just been put on trial.
// The confirmed generation's waits for the trial's end, with all its state.
func (d *Daemon) tryPolicy(ctx context.Context, rt *runtime, req control.ApplyRequest) error {
	spare, err := parseAddresses(req.Spare)
	if err != nil {
		return err
	}
	if err := errors.Join(d.bans.Protect(ctx, protectSession, spare), d.protect(ctx, rt.policy)); err != nil {
		return err
	}
	s, err := d.generations.State()
	if err != nil {
		return err
	}
	if current := d.running.Load(); current != nil && s.Confirmed != nil && current.generation == s.Confirmed.Number {
		d.previous = current
	}
	// First the bans, so that not even the new policy's first one outlives the trial.
	if err := d.followTrial(ctx, s); err != nil {
		return err
	}
	d.memory.Begin(rt.memory)
	d.activate(rt)
	return nil
}

// Confirm implements control.Service.
func (d *Daemon) Confirm(ctx context.Context, req control.ConfirmRequest) (control.Confirmed, error) {
	d.ending()
	c, err := d.Firewall.Confirm(ctx, req) // which tells of it
	return c, d.after(ctx, d.unlessEnded(err))
}

// Extend implements control.Service.
func (d *Daemon) Extend(ctx context.Context, req control.ExtendRequest) (control.Extended, error) {
	e, err := d.Firewall.Extend(ctx, req)
	return e, d.after(ctx, err)
}

// ending has the end of the trial told by whoever ends it, and returns what is on trial.
func (d *Daemon) ending() uint64 {
	number := d.trial.Load()
	d.ended.Store(number)
	return number
}

// unlessEnded takes ending back where that failed.
func (d *Daemon) unlessEnded(err error) error {
	if err != nil {
		d.ended.Store(0)
	}
	return err
}

// Rollback implements control.Service.
func (d *Daemon) Rollback(ctx context.Context, req control.RollbackRequest) (control.Status, error) {
	number := d.ending()
	s, err := d.rollback(ctx, req)
	if err == nil {
		d.counters.rollbacks[byHand].Add(1)
		if number == 0 && s.Confirmed != nil {
			number = s.Confirmed.Number // it stood aside, and filters again
		}
		d.tell(feed.Item{Kind: feed.KindRollback, Generation: &feed.Generation{Number: number, By: req.By}})
	}
	if err := d.after(ctx, d.unlessEnded(err)); err != nil {
		return control.Status{}, err
	}
	return d.Status(ctx)
}

// Reset implements control.Service.
func (d *Daemon) Reset(ctx context.Context) (control.ResetResult, error) {
	d.ending()
	r, err := d.reset(ctx)
	if err == nil && len(r.Generations) > 0 {
		d.counters.rollbacks[byReset].Add(1)
		d.tell(feed.Item{Kind: feed.KindReset, Generation: &feed.Generation{Number: slices.Max(r.Generations), Bans: r.Bans}})
	}
	return r, d.after(ctx, d.unlessEnded(err))
}

// after syncs with the kernel after a change and returns the first error.
func (d *Daemon) after(ctx context.Context, err error) error {
	if syncErr := d.sync(ctx); err == nil {
		return explain(syncErr)
	}
	return err
}

// Status implements control.Service.
func (d *Daemon) Status(ctx context.Context) (control.Status, error) {
	s, err := d.Firewall.Status(ctx)
	if err != nil {
		return s, err
	}
	s.Daemon = d.status()
	if h := d.history.stats(); h.Failing != "" {
		s.Note = join(s.Note, "what happens is not recorded, and bans made now do not outlast a reboot: "+h.Failing)
	}
	if amiss := d.drift.nowAmiss(); amiss != "" {
		s.Note = join(s.Note, "somebody else has changed the rules: "+amiss+"; moonlatch apply or restore brings them back, moonlatch reset removes them for good")
	}
	return s, nil
}

// Reload reads the policy of the generation in force from its file again and
// applies it on trial.
func (d *Daemon) Reload(ctx context.Context) error {
	err := d.reload(ctx)
	d.counters.reloadOK.Store(err == nil)
	if err == nil {
		d.counters.reloadedAt.Store(time.Now().UnixNano())
	}
	return err
}

func (d *Daemon) reload(ctx context.Context) error {
	s, err := d.generations.State()
	if err != nil {
		return err
	}
	g := s.Current()
	if g == nil || g.Path == "" {
		return fmt.Errorf("no policy is in force that could be read again: use moonlatch apply")
	}
	p, req, err := Load(g.Path, d.log)
	if err != nil {
		return err
	}
	p.Close()
	req.By = "reload"
	_, err = d.Apply(ctx, req)
	return err
}
