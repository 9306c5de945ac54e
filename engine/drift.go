package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"moonlatch/engine/feed"
	"moonlatch/engine/generation"
	"moonlatch/engine/nft"
)

// Whoever changes our rules again after each healing is not fought: the daemon
// waits longer each time, and stops after mostHeals within healWindow.
const (
	mostHeals  = 5
	healWindow = 5 * time.Minute
	firstPause = 500 * time.Millisecond // doubles with every healing
)

// What was done about drift.
const (
	driftHealed = iota
	driftReported
	driftGaveUp
)

// driftWatch is what the daemon knows of changes that others made to its
// generations. All but the atomics belong to the goroutine that watches.
type driftWatch struct {
	count [3]atomic.Uint64 // by what was done
	heals []time.Time      // within the window
	heard nft.Change       // what the next look is about
	again time.Time        // when it is, zero if there is none
	said  bool             // that nothing is done about what is amiss now

	gaveUp bool // until all is well again
	torn   bool // the core table was changed, and is not whole again

	mu    sync.Mutex
	amiss string // what is, for the status; "" when all is well
}

func (w *driftWatch) setAmiss(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.amiss = what
}

// nowAmiss tells what others changed and is still so, or "".
func (w *driftWatch) nowAmiss() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.amiss
}

// lookForDrift finds out whether somebody else has changed the generations, and does about
// it what the policy wants.
func (d *Daemon) lookForDrift(ctx context.Context, heard nft.Change) {
	w := &d.drift
	w.again = time.Time{}
	lookCtx, cancel := context.WithTimeout(ctx, kernelTimeout)
	defer cancel()
	found, err := d.generations.Drift(lookCtx, heard)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		d.log.Error("cannot tell whether somebody has changed the rules", "error", err)
		w.heard, w.again = heard, time.Now().Add(firstPause)
		return
	case found == nil:
		w.said, w.gaveUp = false, false
		w.setAmiss("")
		return
	}
	w.setAmiss(found.What)
	now := time.Now()
	pause, exhausted := w.pause(now)
	w.gaveUp = w.gaveUp || exhausted
	switch {
	case found.Mode != generation.HealDrift:
		d.leaveDrift(driftReported, found.What, heard)
	case w.gaveUp:
		d.leaveDrift(driftGaveUp, found.What, heard)
	case pause > 0:
		w.heard, w.again = heard, now.Add(pause)
	default:
		d.healDrift(lookCtx, heard)
	}
}

// pause is how long to wait before the rules are put back once more; exhausted
// means that this was done too often already.
func (w *driftWatch) pause(now time.Time) (pause time.Duration, exhausted bool) {
	for len(w.heals) > 0 && now.Sub(w.heals[0]) > healWindow {
		w.heals = w.heals[1:]
	}
	n := len(w.heals)
	switch {
	case n == 0:
		return 0, false
	case n >= mostHeals:
		return 0, true
	}
	return w.heals[n-1].Add(firstPause << (n - 1)).Sub(now), false
}

// healDrift puts everything back as it is meant.
func (d *Daemon) healDrift(ctx context.Context, heard nft.Change) {
	w := &d.drift
	w.heals = append(w.heals, time.Now())
	found, err := d.generations.Heal(ctx, heard)
	if err != nil {
		d.log.Error("somebody changed the rules, and they cannot be put back", "process", heard.Process, "pid", heard.PID, "error", err)
		w.heard, w.again = heard, time.Now().Add(firstPause)
		return
	}
	w.said = false
	w.setAmiss("")
	d.feedKeeper.Refill()
	if found != nil { // otherwise another process has put it right meanwhile
		w.count[driftHealed].Add(1)
		d.tellDrift(feed.DriftHealed, found.What, heard)
	}
}

// leaveDrift says, once, that nothing is done, and looks again for whether somebody
// has put it right: what this daemon's own commands do, the monitor does not tell.
func (d *Daemon) leaveDrift(as int, what string, heard nft.Change) {
	d.drift.heard, d.drift.again = heard, time.Now().Add(syncEvery)
	if d.drift.said {
		return
	}
	d.drift.said = true
	d.drift.count[as].Add(1)
	d.tellDrift([...]string{driftReported: feed.DriftReported, driftGaveUp: feed.DriftGaveUp}[as], what, heard)
}

func (d *Daemon) tellDrift(done, what string, heard nft.Change) {
	d.tell(feed.Item{Kind: feed.KindDrift, Drift: &feed.Drift{What: what, Done: done, Process: heard.Process, PID: heard.PID}})
}
