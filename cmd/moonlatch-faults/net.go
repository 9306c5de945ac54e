package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// tick is the shortest time between two ticks of a safety net.
const tick = 10 * time.Second

// netBound is how long after a tick everything must pass at the latest: a daemon that hangs is
// asked for a second.
const netBound = bound + 2*time.Second

// openStep opens the machine, which rules of others have shut as well. From then on everything passes, until
// somebody applies again, or takes it back.
func (l *life) openStep(ctx context.Context, s step) {
	was := l.kernel
	o := outcome{rest: was | set(open)}
	if s.end != endUndo {
		o.rest |= set(closed)
	}
	l.host.judge.only(o.rest)
	before, err := l.shut(s.end != endUndo)
	if err != nil {
		l.run.fail(err)
		return
	}
	r := l.do(ctx, s, phaseFirst, "reset", "--all", "-o", "json")
	if r.ok() {
		l.wasReset(s, &o)
	} else {
		l.maybeReset(&o)
		l.quiet(ctx)
	}
	l.host.judge.only(o.rest)
	var doc struct{ Snapshot string }
	if r.ok() {
		if err := json.Unmarshal(r.out, &doc); err != nil {
			l.breaks(noAnswer, "%s: %v", r, err)
		}
		time.Sleep(underWay)
		l.run.checked(lockedOut)
	}
	if s.end == endUndo && doc.Snapshot != "" {
		o.rest = l.undoStep(ctx, s, before, was)
	}
	l.kernel = o.rest &^ set(closed)
	l.clearOthers(s)
	l.host.judge.only(l.kernel | l.afterFlush(s))
}

// undoStep takes a reset of everything back, and returns what may be in force then.
func (l *life) undoStep(ctx context.Context, s step, before string, was states) states {
	l.host.judge.only(was | set(open))
	r := l.do(ctx, s, phaseSecond, "reset", "--undo")
	l.doubtBans()
	if !r.ok() {
		l.quiet(ctx)
		return was | set(open)
	}
	l.run.checked(undone)
	l.host.judge.only(was | l.afterFlush(s))
	switch now, err := l.host.others(); {
	case err != nil:
		l.run.fail(err)
	case l.afterFlush(s) == 0 && now != before:
		l.breaks(undone, "after a reset that was undone the rules of others are:\n%s\nbefore they were:\n%s", now, before)
	}
	return was
}

// netStep has a safety net open the machine at its tick, whatever has shut it and whatever has died, and switches it off.
func (l *life) netStep(ctx context.Context, s step) {
	l.unwatched.Store(false)
	may := l.kernel | set(open, closed)
	l.host.judge.only(may)
	r := l.do(ctx, s, phaseFirst, "safetynet", "--every", s.trial.String())
	armed := r.ended
	if _, err := l.shut(true); err != nil {
		l.run.fail(err)
	}
	l.goneOurs()
	l.doubtBans()
	if r.ok() {
		l.begin(ctx, s, phaseWait, func(fault) {})
		l.awaitTick(ctx, s, armed)
	}
	l.do(ctx, s, phaseSecond, "safetynet", "off")
	l.host.judge.only(may)
	l.netOff(ctx)
	l.kernel = may &^ set(closed)
	l.clearOthers(s)
	l.host.judge.only(l.kernel)
}

// awaitTick waits for the first tick, and holds what follows against it. What somebody who hangs was told, or did not hear, may show
// for a moment.
func (l *life) awaitTick(ctx context.Context, s step, armed time.Time) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(time.Until(armed.Add(s.trial + netBound))):
	}
	if l.unwatched.Load() {
		return
	}
	passes := set(open)
	if s.blocks() {
		passes |= l.kernel
	}
	l.host.judge.only(passes)
	time.Sleep(5 * underWay)
	l.run.checked(lockedOut)
}

// netOff switches the safety net off where that has not been done, with nothing in the way any more.
func (l *life) netOff(ctx context.Context) {
	l.faults.Wait()
	if err := l.host.mend(ctx); err != nil && ctx.Err() == nil {
		l.run.fail(err)
	}
	r := l.prog.run(ctx, "safetynet", "off")
	l.done(r)
	if !r.ok() && !strings.Contains(r.err, "no safety net is on") && ctx.Err() == nil {
		l.breaks(noAnswer, "nothing is broken any more, but %s", r)
	}
}

// shut puts rules of others in place, and lists them: a table that is in nobody's way, and one that lets nobody in.
func (l *life) shut(all bool) (string, error) {
	names := []string{"before"}
	if all {
		names = append(names, doesBlock)
	}
	for _, name := range names {
		if _, err := l.host.nft("-f", filepath.Join(l.host.folder, name+".nft")); err != nil {
			return "", fmt.Errorf("make tables of another program's: %w", err)
		}
	}
	return l.host.others()
}

// doubtBans takes note that bans may be in force again, or not any more.
func (l *life) doubtBans() {
	for _, m := range l.host.pool {
		m.doubt()
	}
}
