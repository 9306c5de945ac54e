package guard

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"moonlatch/engine/boottime"
)

// watchdog is the process that does what was ordered.
type watchdog struct {
	*Watch
	order   Order
	root    *os.Root // the order's folder
	try     Try
	alarm   *alarm
	heir    bool           // it was the standby of one that died
	standby io.WriteCloser // leads to the second process; nil if there is none
	log     *slog.Logger
}

// watch waits for the order's time or its end, and returns the result when
// nothing of the order is left on disk.
func (d *watchdog) watch() Result {
	now := d.now()
	if _, ok := now.Sub(d.order.Start); !ok {
		if !d.order.Repeat {
			return d.finish(Result{Outcome: Rebooted})
		}
		d.rearm(now)
	}
	for next := d.next(now); ; now = d.now() {
		switch state := decided(d.root); {
		case state == ended:
			return d.finish(Result{Outcome: Ended})
		case state == "" && d.order.Repeat:
			d.log.Error("its folder was removed: it ends")
			return d.finish(Result{Outcome: Ended})
		}
		if left, ok := next.Sub(now); ok && left > 0 && decided(d.root) != due {
			d.wait(next)
			continue
		}
		if d.order.Repeat {
			d.announce(d.record(d.perform()))
			next = d.order.Next(d.now())
			continue
		}
		if d.claim() {
			return d.finish(d.perform())
		}
	}
}

// next is the instant to act at. A standby that takes over does at once what the one that died has not done, as far as
// is on record, at the last tick.
func (d *watchdog) next(now boottime.Instant) boottime.Instant {
	next := d.order.Next(now)
	last := next.In(-d.order.Time)
	passed, ok := now.Sub(last)
	if !d.order.Repeat || !d.heir || !ok || last == d.order.Start {
		return next
	}
	r, err := d.Last()
	if err == nil && r.Start == d.order.Start && r.Outcome == Done && r.At.After(time.Now().Add(-passed)) {
		return next
	}
	return last
}

// claim makes the order due and reports whether it is: not if it was called off
// first. Where the disk takes no decision, as one that is full or read-only now,
// it took no end either: then what was ordered is done.
func (d *watchdog) claim() bool {
	err := decide(d.root, due)
	return !errors.Is(err, ErrNone) || decided(d.root) != ended
}

// rearm lets a repeating order go on after a reboot.
func (d *watchdog) rearm(now boottime.Instant) {
	d.order.Start = now
	if err := replace(d.path(pending+"/order.json"), d.order); err != nil {
		d.log.Warn("what status shows is wrong until it is ended", "error", err)
	}
	d.log.Info("armed again after a reboot")
}

func (d *watchdog) wait(until boottime.Instant) {
	if err := d.alarm.wait(until); err != nil {
		d.log.Error("it looks at the clock every second", "error", err)
		time.Sleep(time.Second)
	}
}

// now is the present instant. A clock that cannot be read is asked again: there
// is nobody whom it would help if the watchdog ended.
func (d *watchdog) now() boottime.Instant {
	for {
		now, err := boottime.Now()
		if err == nil {
			return now
		}
		d.log.Error("what time it is", "error", err)
		time.Sleep(time.Second)
	}
}

// How long a try may take, and how long it is until the next. A tool that hangs
// is killed early at first, since most take milliseconds; one that only has much
// to do gets the time.
const (
	firstPatience, lastPatience = 5 * time.Second, 5 * time.Minute
	firstPause, lastPause       = time.Second, 15 * time.Second
)

// perform does what was ordered, again and again until it succeeds.
func (d *watchdog) perform() Result {
	patience, pause := firstPatience, firstPause
	for r := (Result{Outcome: Failing, Tries: 1}); ; r.Tries++ {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		did, err := d.try(ctx)
		if ctx.Err() != nil {
			patience = min(2*patience, lastPatience)
		}
		cancel()
		if err == nil {
			r.Outcome, r.Did = Done, did
			return r
		}
		d.log.Error("failed, and will be tried again", "try", r.Tries, "error", err)
		r.Error = err.Error()
		if told := d.record(r); told.Tries == 1 {
			d.announce(told)
		}
		if d.pause(pause) == ended { // a repeating order can be
			return r
		}
		pause = min(2*pause, lastPause)
	}
}

// pause waits for a while, unless the order is ended, and returns what has become of it.
func (d *watchdog) pause(t time.Duration) string {
	until := d.now().In(t)
	for {
		state := decided(d.root)
		left, _ := until.Sub(d.now())
		if state == ended || left <= 0 {
			return state
		}
		d.wait(until)
	}
}

// record writes a result for status to show. It is worth no delay.
func (d *watchdog) record(r Result) Result {
	r.Order, r.At = d.order, time.Now()
	if err := replace(d.path("last.json"), r); err != nil {
		d.log.Warn("status does not show it", "error", err)
	}
	d.log.Info("result", "outcome", r.Outcome, "did", r.Did, "tries", r.Tries)
	return r
}

// finish clears the order away. As long as the disk does not let it, this process
// stays: another one would take the order for one that is still to be done.
func (d *watchdog) finish(r Result) Result {
	r = d.record(r)
	if r.Outcome != Done {
		d.dismiss()
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := d.clear(d.root)
		if err == nil {
			break
		}
		d.log.Error("the order cannot be cleared away", "error", err)
		time.Sleep(pause)
	}
	// A standby that takes over before this does what was ordered once more, at once.
	d.dismiss()
	return r
}

// dismiss lets the standby end.
func (d *watchdog) dismiss() {
	if d.standby != nil {
		d.standby.Write([]byte("done"))
		d.standby.Close()
		d.standby = nil
	}
}
