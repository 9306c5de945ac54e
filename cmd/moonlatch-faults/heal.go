package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"moonlatch/engine/control"
)

// heal ends what is still broken. From here on everything must be well without anybody's
// manual work, but for what an administrator, a service manager or a boot would do.
func (l *life) heal(ctx context.Context, s step) {
	l.faults.Wait()
	l.prog.clock, l.blocked = 0, false
	if s.spoilsDisk() {
		l.dumb = time.Now().Add(historyPause)
	}
	if err := l.host.mend(ctx); err != nil && ctx.Err() == nil {
		l.run.fail(err)
	}
	may := l.kernel
	if l.emptied {
		may |= l.stored | set(open)
		l.host.judge.only(may)
		if l.healsItself(s) {
			l.run.checked(notHealed)
			if _, ok := l.rest(ctx, may&^set(open)); !ok {
				l.breaks(notHealed, "somebody flushed everything, and the daemon left it so")
				return
			}
		}
		if !l.restore(ctx) {
			return
		}
		may &^= set(open)
	}
	if !l.outlive || !l.prog.alive() {
		l.outlive = false
		for _, m := range l.host.pool {
			if l.emptied {
				m.boot()
			}
		}
	}
	if !l.wantDaemon(ctx, s.daemon) {
		return
	}
	l.host.judge.only(may)
	in, ok := l.rest(ctx, may)
	if !ok {
		return
	}
	switch {
	case l.emptied:
		l.stored = set(in)
	case l.kernel == l.before && !l.acknowledged:
		l.stored = l.storedBefore // the kernel comes first: what it does not hold is not in the store either
	}
	l.status(ctx, in)
	l.poolCheck(ctx)
	if s.prove {
		l.prove(ctx, s.next)
	}
}

// healsItself reports whether the daemon has to put back what somebody has flushed, without anybody's help: it
// was there, and nothing was in its way. One that had to do so lately waits for longer.
func (l *life) healsItself(s step) bool {
	alone := l.outlive && l.prog.alive() && !slices.Contains([]string{opReset, opOpen, opNet, opGuard}, s.op) && s.end != endReset && !(l.before | l.stored).has(open)
	for _, f := range s.faults {
		switch f.kind {
		case faultFlush:
			l.heals++
		case faultKillCommand, faultAtCall:
		default:
			alone = false
		}
	}
	return alone && l.heals == 1
}

// restore does what the unit at boot does.
func (l *life) restore(ctx context.Context) bool {
	r := l.prog.run(ctx, "restore")
	l.done(r)
	if !r.ok() && ctx.Err() == nil {
		l.breaks(notRestored, "%s", r)
	}
	return r.ok()
}

// status asks Moonlatch, and compares its answer with what packets show.
func (l *life) status(ctx context.Context, in state) {
	r := l.prog.run(ctx, "status", "-o", "json")
	l.run.checked(noAnswer)
	var s control.Status
	if err := json.Unmarshal(r.out, &s); !r.ok() || err != nil {
		if ctx.Err() == nil {
			l.breaks(noAnswer, "%s %s (%v)", r, r.out, err)
		}
		return
	}
	want := control.Filtering
	if in == open {
		want = control.Opened
	}
	if s.State != want || s.Trial != nil {
		l.breaks(noAnswer, "packets show %s, the status is %s", in, r.out)
		return
	}
	if in != open && !strings.HasSuffix(s.Confirmed.Policy, fmt.Sprintf("%d.lua", in)) {
		l.breaks(noAnswer, "packets show %s, the status says %s", in, s.Confirmed.Policy)
	}
}

// poolCheck holds the bans against packets.
func (l *life) poolCheck(ctx context.Context) {
	for _, m := range l.host.pool {
		if ctx.Err() != nil {
			return
		}
		wrong, err := m.check()
		if err != nil {
			l.run.fail(err)
		}
		l.run.checked(banLost)
		if wrong != "" {
			l.breaks(banLost, "%s", wrong)
			return
		}
	}
}

// prove shows that everything works: another policy can be applied and confirmed.
func (l *life) prove(ctx context.Context, variant state) {
	l.host.judge.only(l.kernel | set(variant))
	l.run.checked(noAnswer)
	for _, arg := range [][]string{{"apply", good.file(variant), "--confirm", "20s"}, {"confirm"}} {
		r := l.prog.run(ctx, arg...)
		l.done(r)
		if !r.ok() {
			if ctx.Err() == nil {
				l.breaks(noAnswer, "nothing is broken any more, but %s", r)
			}
			return
		}
	}
	l.confirmed(variant)
	l.host.judge.only(l.kernel)
}

// confirmed takes note of an acknowledged confirm.
func (l *life) confirmed(variant state) {
	l.kernel, l.stored = set(variant), set(variant)
	l.past |= l.kernel
}

// leaks looks for what must not be left behind: processes, and files of dead ones.
func (l *life) leaks(ctx context.Context) {
	l.prove(ctx, variant2)
	if err := l.prog.stop(syscall.SIGTERM); err != nil {
		l.breaks(leaked, "%v", err)
	}
	l.run.checked(leaked)
	for deadline := time.Now().Add(settleTime); ; time.Sleep(20 * time.Millisecond) {
		left := l.prog.processes()
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			l.breaks(leaked, "processes are left: %v", left)
			return
		}
	}
	if left := l.host.leftovers(); len(left) > 0 {
		l.breaks(leaked, "files are left: %v", left)
	}
}
