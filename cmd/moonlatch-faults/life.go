package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// bound is how long after a deadline the client must be in at the latest, by what its
// packets show. The kernel takes some milliseconds; a busy machine may hold up its timers.
const bound = time.Second

// settleTime is how long something that must become true may take.
const settleTime = 8 * time.Second

// life is what happens to one host, step by step, and what is known of it.
type life struct {
	number uint64
	over   func() bool // the run was ended in the middle: what was begun is not judged any more
	run    *run
	host   *host
	prog   *program

	in     state  // what was in force when last seen without a trial
	kernel states // what may be in force while no trial is
	stored states // what a boot may put in force
	past   states // everything that ever was confirmed
	at     int    // the step

	before       states // kernel, when the step began
	acknowledged bool   // in this step, a confirm was
	storedBefore states

	mu      sync.Mutex
	trace   []string
	broken  []violation
	busy    string         // what a busy machine held up before the first of them, or ""
	log     string         // the end of the daemon's, if a promise was broken
	emptied bool           // in this step, somebody took everything out of the kernel
	dumb    time.Time      // until then the daemon may record nothing, since the disk took nothing
	heals   int            // what somebody flushed since the daemon began
	outlive bool           // the daemon has lived through this step so far
	blocked bool           // in this step, something may be in the way of commands on purpose
	faults  sync.WaitGroup // those that are still to strike, or at it

	unwatched atomic.Bool // in this step, both of a guard's watchdogs were killed, or stopped
}

// liveOut plays a life from its beginning to its end, or until a promise is broken.
func (r *run) liveOut(ctx context.Context, number uint64) *life {
	l := &life{number: number, run: r, over: func() bool { return ctx.Err() != nil }}
	name := fmt.Sprintf("%d.%d", r.seed, number)
	var err error
	l.host, err = newHost(ctx, r.config, name, filepath.Join(r.folder, name), l.report, r.struck)
	if err != nil {
		r.fail(fmt.Errorf("make a host: %w", err))
		return l
	}
	l.prog = l.host.program
	l.kernel, l.stored, l.past = set(open), set(open), set(open)
	if _, ok := l.rest(ctx, set(open)); ok {
		l.prove(ctx, variant1)
	}
	for i, s := range newLife(r.seed, number, r.steps, r.only) {
		if ctx.Err() != nil || len(l.violations()) > 0 {
			break
		}
		l.at = i + 1
		if l.kernel.has(s.variant) {
			s.variant = s.variant%variants + 1 // one that can be told from what is in force
		}
		l.note("%s", s)
		l.play(ctx, s)
		r.stepDone()
	}
	if len(l.violations()) == 0 && ctx.Err() == nil {
		l.leaks(ctx)
	}
	if len(l.violations()) > 0 {
		l.log = l.prog.tail()
	}
	l.host.close() // and what its probers have still to judge
	r.judged(l.host.judge)
	return l
}

// play plays one step and then has everything that was broken mended.
func (l *life) play(ctx context.Context, s step) {
	l.host.judge.only(l.kernel)
	l.emptied, l.acknowledged, l.before, l.storedBefore = false, false, l.kernel, l.stored
	l.blocked = s.blocks()
	l.prog.clock = s.clock
	if s.clock != 0 {
		l.run.struck(faultClock)
	}
	if !l.wantDaemon(ctx, s.daemon) {
		return
	}
	l.outlive = l.prog.alive()
	switch s.op {
	case opTrial:
		l.trial(ctx, s)
	case opBan, opUnban:
		l.banStep(ctx, s)
	case opReset:
		l.resetStep(ctx, s)
	case opOpen:
		l.openStep(ctx, s)
	case opNet:
		l.netStep(ctx, s)
	case opGuard:
		l.guardStep(ctx, s)
	case opReboot:
		l.reboot(ctx, nil)
	case opDamage:
		l.damageStep(ctx, s)
	case opPower:
		l.powerStep(ctx, s)
	}
	l.heal(ctx, s)
}

// note adds a line to the trace.
func (l *life) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trace = append(l.trace, fmt.Sprintf("%s %2d  ", time.Now().Format("15:04:05.000"), l.at)+fmt.Sprintf(format, args...))
}

// report takes note of a broken promise. It may be called by any goroutine.
func (l *life) report(v violation) {
	if l.over() {
		return
	}
	l.mu.Lock()
	if len(l.broken) == 0 {
		l.busy = l.host.delays.since(v.At.Add(-settleTime))
	}
	l.broken = append(l.broken, v)
	first := len(l.broken) <= 3
	l.mu.Unlock()
	if first {
		l.note("BROKEN: %s at %s: %s", v.Promise, v.At.Format("15:04:05.000"), v.What)
	}
}

// breaks reports a broken promise that shows now.
func (l *life) breaks(p promise, format string, args ...any) {
	l.report(violation{Promise: p, At: time.Now(), What: fmt.Sprintf(format, args...)})
}

func (l *life) violations() []violation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// do runs a command of a phase, and has the phase's faults strike.
func (l *life) do(ctx context.Context, s step, phase int, arg ...string) result {
	var at *fault
	l.begin(ctx, s, phase, func(f fault) { at = &f })
	var r result
	if at == nil {
		r = l.prog.runWithin(ctx, patience, arg...)
	} else {
		r = l.doGated(ctx, *at, arg...)
	}
	l.done(r)
	return r
}

// done checks what holds for every command, however it ended.
func (l *life) done(r result) {
	took := r.ended.Sub(r.began)
	l.note("%s (%s)", r, took.Round(time.Millisecond))
	if !l.blocked {
		l.host.delays.add(took/slowdown, "moonlatch "+r.args[0])
	}
	l.run.operation(r.args[0])
	if strings.Contains(r.err, "goroutine ") || r.code == 2 {
		l.breaks(noAnswer, "%s", r)
	}
	if r.failed != nil {
		l.run.fail(r.failed)
	}
}

// begin has the faults of a phase strike when their time comes, but for the one at a
// system call, which goes to gated.
func (l *life) begin(ctx context.Context, s step, phase int, gated func(fault)) {
	for _, f := range s.faults {
		switch {
		case f.phase != phase:
		case f.kind == faultAtCall:
			gated(f)
		default:
			l.faults.Go(func() {
				select {
				case <-ctx.Done():
				case <-time.After(f.after):
					l.hit(f)
				}
			})
		}
	}
}

func (l *life) hit(f fault) {
	// A flush is known before it shows.
	if f.kind == faultFlush {
		l.mu.Lock()
		l.emptied = true
		l.mu.Unlock()
	}
	if f.kind == faultKillAll || f.kind == faultStopAll {
		l.unwatched.Store(true)
	}
	hit, err := l.host.strike(f)
	if err != nil {
		l.run.fail(fmt.Errorf("%s: %w", f.kind, err))
		return
	}
	if hit {
		l.run.struck(f.kind)
		l.note("fault: %s", f.kind)
	}
}

// doGated runs a command and kills it as it makes a certain system call, every other time
// with all its children.
func (l *life) doGated(ctx context.Context, f fault, arg ...string) result {
	n, calls := 0, storeCalls()
	if f.kernel {
		calls = kernelCalls()
	}
	return l.prog.runGated(ctx, patience, calls, func(c call) {
		if n++; n != f.call {
			return
		}
		chosen := process.command
		if f.call%2 == 0 {
			chosen = func(q process) bool { return !q.daemon && !q.watchdog }
		}
		if l.host.signal(syscall.SIGKILL, chosen) {
			l.run.struck(f.kind)
			l.note("fault: %s: call %d, which is number %d", f.kind, c.nr, n)
		}
	}, arg...)
}

// wantDaemon starts the daemon where it is missing, as a service manager does, or stops it.
func (l *life) wantDaemon(ctx context.Context, want bool) bool {
	switch {
	case want && !l.prog.alive():
		began := time.Now()
		l.heals, l.dumb = 0, time.Time{}
		if err := l.prog.start(ctx); err != nil && ctx.Err() == nil {
			l.breaks(noAnswer, "the daemon does not start: %v", err)
			return false
		}
		l.note("the daemon runs (%s)", time.Since(began).Round(time.Millisecond))
	case !want && l.prog.alive():
		if err := l.prog.stop(syscall.SIGTERM); err != nil {
			l.breaks(noAnswer, "%v", err)
			return false
		}
		l.note("the daemon is stopped")
	}
	return true
}

// rest waits until the client's packets agree on one of the states that may be in force,
// and takes that as known.
func (l *life) rest(ctx context.Context, may states) (state, bool) {
	since := time.Now()
	for ctx.Err() == nil {
		in, ok := l.host.now(since)
		if ok && may.has(in) {
			l.in, l.kernel = in, set(in)
			l.host.judge.only(l.kernel)
			return in, true
		}
		if time.Since(since) > settleTime {
			l.breaks(wrongPolicy, "packets show %s (all of them: %t), where only %s may be", in, ok, may)
			return 0, false
		}
		time.Sleep(beat)
	}
	return 0, false
}
