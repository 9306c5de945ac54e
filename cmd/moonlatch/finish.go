package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"moonlatch/engine/control"
)

// finished is how a trial ended that the command stayed for.
type finished struct {
	control.Applied
	Outcome string             `json:"outcome"` // "confirmed", "rolled_back", or "on_trial" when the command was interrupted
	Tests   []tested           `json:"tests,omitempty"`
	Confirm *control.Confirmed `json:"confirmed,omitempty"` // where the command itself confirmed it
}

// finish stays until the trial ends, by what the tests find or by somebody's hand.
func (a *app) finish(ctx context.Context, s control.Service, applied control.Applied, tests []test, wait bool) error {
	f := &finished{Applied: applied}
	err := a.decide(ctx, s, f, tests, wait)
	var told *control.Error
	switch {
	case err == nil:
		f.Outcome = "confirmed"
	case errors.As(err, &told) && told.Code == control.RolledBack:
		f.Outcome = "rolled_back"
	default:
		f.Outcome = "on_trial"
	}
	return errors.Join(err, a.print(f, func(w *writer) { w.finished(f) }))
}

// decide ends the trial by its tests, where there are any, or waits for somebody
// to end it.
func (a *app) decide(ctx context.Context, s control.Service, f *finished, tests []test, wait bool) error {
	w := a.newWaiter(s, f.Applied)
	if len(tests) > 0 {
		f.Tests = runTests(ctx, tests, f.Left)
		failed := failures(f.Tests)
		switch {
		case ctx.Err() != nil:
			return w.interrupted()
		case len(failed) == 0:
			return a.confirmByTests(ctx, s, f)
		case !wait:
			return w.giveUp(ctx, failed)
		}
		for _, text := range failed {
			fmt.Fprintln(w.shown.out, text)
		}
	}
	w.listen()
	err := w.wait(ctx)
	f.Confirm = w.confirmed
	return err
}

// confirmByTests confirms what the tests found to be good, and nothing that
// somebody has put in its place meanwhile.
func (a *app) confirmByTests(ctx context.Context, s control.Service, f *finished) error {
	req := confirmRequest()
	req.Generation, req.By = f.Generation.Number, req.By+", by probes"
	c, err := s.Confirm(ctx, req)
	if err == nil {
		f.Confirm = &c
	}
	return err
}

// giveUp rolls a trial back whose tests failed.
func (w *waiter) giveUp(ctx context.Context, failed []string) error {
	why := strings.Join(failed, "; ")
	_, err := w.service.Rollback(ctx, control.RollbackRequest{Generation: w.trial.Number, By: caller()})
	var told *control.Error
	if err != nil && !(errors.As(err, &told) && told.Code == control.RolledBack) {
		return &control.Error{Code: control.Failed, Message: why + "; and the roll back failed, so that the kernel ends the trial at its deadline: " + err.Error()}
	}
	return &control.Error{Code: control.RolledBack, Message: "rolled back: " + why}
}

func (w *writer) finished(f *finished) {
	w.passed(f.Tests)
	switch {
	case f.Outcome != "confirmed": // the error tells
	case f.Confirm == nil:
		w.linef("generation %d (%s) is confirmed, from another session", f.Generation.Number, f.Generation.Policy)
	case len(f.Tests) > 0 && len(failures(f.Tests)) == 0:
		w.linef("generation %d (%s) is confirmed: what it had to reach answers. That new connections get in is not shown by that", f.Generation.Number, f.Generation.Policy)
	default:
		w.confirmed(*f.Confirm)
	}
}
