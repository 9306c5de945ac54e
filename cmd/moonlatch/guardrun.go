package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"moonlatch/engine/control"
	"moonlatch/engine/guard"
)

// notRun ends a guard whose command was not started, since nothing would certainly undo it.
func (a *app) notRun(ctx context.Context, o guard.Order, why error) error {
	w := a.watch(guardWatch)
	said := fmt.Sprintf("%q was not run, and nothing was changed", o.What)
	if !errors.Is(why, guard.ErrLate) && !errors.Is(why, guard.ErrNone) {
		return fmt.Errorf("%s: its guard %w", said, errors.Join(why, w.Disarm()))
	}
	r, err := await(ctx, w, o)
	switch {
	case err != nil:
		return fmt.Errorf("%s: its guard was over before it: %w", said, err)
	case r.Outcome == guard.Ended:
		return fmt.Errorf("%s: its guard was confirmed before it", said)
	}
	return &control.Error{Code: control.RolledBack, Message: said + ": its guard was over before it. Something held up this command, or the machine is busy: try a longer --for"}
}

// attendEvery is how often the parent of a guarded command looks after its watchdog.
const attendEvery = time.Second

// attend waits for an order's result, and starts another watchdog where both of its
// processes have died.
func (a *app) attend(ctx context.Context, o guard.Order) (guard.Result, error) {
	w := a.watch(guardWatch)
	for {
		waiting, cancel := context.WithTimeout(ctx, attendEvery)
		r, err := w.Await(waiting, o)
		over := waiting.Err() == nil
		cancel()
		if over {
			return r, err
		}
		// Whatever keeps it from that now may not do so in a second.
		_, _, _ = w.Ensure(ctx, a.watchdogArgs(guardWatch)...)
	}
}
