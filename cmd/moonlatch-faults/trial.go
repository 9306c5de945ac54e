package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"moonlatch/engine/control"
)

// outcome is what may be in force after a trial, and until when the trial may be.
type outcome struct {
	rest     states
	during   states // what the trial shows
	deadline time.Time
}

// extension is by how much a trial is extended.
const extension = time.Second

// trial applies a policy and ends its trial in some way. From its deadline on, only what
// was or is confirmed may be in force, whatever has died, hangs or is full.
func (l *life) trial(ctx context.Context, s step) {
	o := outcome{rest: l.kernel, during: s.policy.allows(s.variant)}
	if s.end == endReplace {
		o.during |= set(s.next)
	}
	may := o.rest | o.during
	if s.end == endReset {
		may |= set(open)
	}
	l.host.judge.only(may | l.afterFlush(s))
	applied := l.do(ctx, s, phaseFirst, "apply", s.policy.file(s.variant), "--confirm", s.trial.String())
	if (s.policy == invalid || s.policy == refused) && applied.ok() {
		l.breaks(noAnswer, "a policy that makes no sense is applied: %s", applied)
	}
	last := applied
	resolved := false
	extra := time.Duration(0)
	switch s.end {
	case endConfirm:
		resolved = l.confirmStep(ctx, s, &o)
	case endRollback:
		// Bans of the policy on trial are lifted by the daemon, if it is there, or by their timeout.
		resolved = l.do(ctx, s, phaseSecond, "rollback").ok() && s.policy != banning
	case endReset:
		if resolved = l.do(ctx, s, phaseSecond, "reset").ok(); resolved {
			l.wasReset(s, &o)
		} else {
			l.maybeReset(&o)
		}
	case endExtend:
		extra = extension // at most
		l.do(ctx, s, phaseSecond, "extend", extension.String())
	case endReplace:
		last = l.do(ctx, s, phaseSecond, "apply", good.file(s.next), "--confirm", s.trial.String())
	}
	o.deadline = last.ended.Add(s.trial + extra)
	if !applied.ok() || !last.ok() {
		l.quiet(ctx)
		o.deadline = time.Now().Add(s.trial + extra) // somebody may have gone on with it until now
	}
	if resolved {
		o.deadline = time.Now().Add(-bound)
	}
	l.expire(ctx, s, o)
	if s.end == endLate {
		l.confirmLate(ctx, s)
	}
}

// confirmLate confirms a trial that is over: what the client is rid of must not come back.
func (l *life) confirmLate(ctx context.Context, s step) {
	r := l.prog.run(ctx, "confirm", "-o", "json")
	l.done(r)
	var g control.Generation
	if !r.ok() || json.Unmarshal(r.out, &g) != nil {
		return
	}
	if g.Policy == s.policy.file(s.variant) {
		l.breaks(wrongPolicy, "%s was confirmed after its trial", g.Policy)
	}
	l.stored = l.before // an earlier confirm, which was killed, is now at its end
}

// afterFlush is what somebody's flush may lead to.
func (l *life) afterFlush(s step) states {
	for _, f := range s.faults {
		if f.kind == faultFlush {
			return set(open) | l.stored
		}
	}
	return 0
}

// confirmStep confirms the trial. It reports whether the trial is over.
func (l *life) confirmStep(ctx context.Context, s step, o *outcome) bool {
	r := l.do(ctx, s, phaseSecond, "confirm", "-o", "json")
	const rolledBack = 7
	switch {
	case !r.ok() && r.code != rolledBack:
		o.rest |= set(s.variant)
		l.stored |= set(s.variant)
		l.past |= set(s.variant)
		return false
	case !r.ok():
		return false
	}
	l.acknowledged = true
	var g control.Generation
	if err := json.Unmarshal(r.out, &g); err != nil {
		l.breaks(noAnswer, "%s: %v", r, err)
		return false
	}
	if g.Policy == s.policy.file(s.variant) {
		l.confirmed(s.variant)
		o.rest = l.kernel
		return true
	}
	// There is no trial, and an earlier confirm, which was killed, is now at its end.
	if !strings.HasSuffix(g.Policy, fmt.Sprintf("%d.lua", l.in)) {
		l.breaks(wrongPolicy, "%s is confirmed, %s was on trial, and %s is in force", g.Policy, s.policy.file(s.variant), l.in)
	}
	l.stored = l.before
	return false
}

// quiet waits until nothing of ours is on its way to the kernel. A daemon goes on with what a
// command asked of it when the command is dead, as soon as it gets an nft that works, or may go on itself.
func (l *life) quiet(ctx context.Context) {
	if l.prog.alive() && l.host.wrapped.Load() != "" {
		if err := l.host.mend(ctx); err != nil && ctx.Err() == nil {
			l.run.fail(err)
		}
	}
	const calm = 200 * time.Millisecond
	last := time.Now()
	for deadline := last.Add(patience); ctx.Err() == nil && time.Since(last) < calm && time.Now().Before(deadline); time.Sleep(beat) {
		for _, q := range l.prog.processes() {
			if q.command() || q.name == "nft" || q.daemon && q.stands {
				last = time.Now()
			}
		}
	}
}

// expire waits for the deadline. What is broken stays so until then, or not.
func (l *life) expire(ctx context.Context, s step, o outcome) {
	l.kernel = o.rest
	l.host.judge.only(o.rest | l.afterFlush(s))
	l.host.judge.also(o.during, o.deadline.Add(bound))
	l.begin(ctx, s, phaseWait, func(fault) {})
	if s.policy == banning {
		l.host.touch()
	}
	if !s.late {
		l.faults.Wait()
		if err := l.host.mend(ctx); err != nil && ctx.Err() == nil {
			l.run.fail(err)
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(o.deadline.Add(bound))):
	}
	l.run.checked(lockedOut)
}

// resetStep opens the firewall.
func (l *life) resetStep(ctx context.Context, s step) {
	o := outcome{rest: l.kernel}
	l.host.judge.only(l.kernel | set(open))
	if l.do(ctx, s, phaseFirst, "reset").ok() {
		l.wasReset(s, &o)
	} else {
		l.maybeReset(&o)
	}
	l.quiet(ctx)
	l.kernel = o.rest
	l.host.judge.only(o.rest | l.afterFlush(s))
}

// wasReset takes note of an acknowledged reset.
func (l *life) wasReset(s step, o *outcome) {
	o.rest = set(open)
	l.emptied = true
	for _, m := range l.host.pool {
		m.free(l.onRecord(s))
	}
}

// maybeReset takes note of a reset that may or may not have come to its end.
func (l *life) maybeReset(o *outcome) {
	o.rest |= set(open)
	l.emptied = true
	for _, m := range l.host.pool {
		m.forget()
	}
}

// banStep bans one of the pool, or lifts its ban.
func (l *life) banStep(ctx context.Context, s step) {
	l.host.judge.only(l.kernel | l.afterFlush(s))
	m := l.host.pool[s.member]
	if s.op == opUnban {
		if l.do(ctx, s, phaseFirst, "unban", m.addr.String()).ok() {
			m.free(l.onRecord(s))
		} else {
			m.forget()
		}
		return
	}
	r := l.do(ctx, s, phaseFirst, "ban", m.addr.String(), "--for", s.ban.String())
	l.quiet(ctx)
	m.mayBe(r, s.ban, l.onRecord(s))
}

// historyPause is how long a daemon waits at most until it tries again to write to a disk that took nothing.
const historyPause = 35 * time.Second

// onRecord reports whether what was acknowledged in the step is on disk. It need not be where the disk
// took nothing: bans then hold in the kernel.
func (l *life) onRecord(s step) bool {
	return !s.spoilsDisk() && (!l.prog.alive() || time.Now().After(l.dumb))
}
