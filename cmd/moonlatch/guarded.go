package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/guard"
)

// noGuard refuses what needs a confirm of its own beside a guard.
func (a *app) noGuard() error {
	o, err := a.watch(guardWatch).Pending()
	if errors.Is(err, guard.ErrNone) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	return &control.Error{Code: control.Failed, Message: fmt.Sprintf(
		"a guard over %q waits for its confirm: moonlatch confirm or moonlatch rollback first; nothing was changed", o.What)}
}

// guarded is a guard that was confirmed.
type guarded struct {
	What string `json:"what"`
	By   string `json:"by"`
	control.Session
}

// checkGuard returns the pending guard and what this session shows of it, nil if
// there is none. It refuses an old session where a new one is asked for.
func (a *app) checkGuard(req control.ConfirmRequest) (*guarded, error) {
	o, err := a.watch(guardWatch).Pending()
	if errors.Is(err, guard.ErrNone) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	g := &guarded{o.What, req.By, engine.TellSession(req, o.Start)}
	if req.NewSession && g.Session.Session != control.SessionNew {
		return nil, &control.Error{Code: control.Refused, Message: fmt.Sprintf(
			"not confirmed: nothing shows that this session is younger than the guard over %q %s; open a new connection and confirm there, or do without --new-session",
			o.What, g.Why)}
	}
	return g, nil
}

// confirmGuard ends the pending guard: nothing is undone any more.
func (a *app) confirmGuard(ctx context.Context) error {
	w := a.watch(guardWatch)
	o, err := w.End()
	if errors.Is(err, guard.ErrNone) {
		return a.nothingToConfirm()
	}
	if err != nil && !errors.Is(err, guard.ErrLate) {
		return fmt.Errorf("confirm the guard over %q: %w; its deadline stays", o.What, err)
	}
	r, waitErr := await(ctx, w, o)
	if err == nil {
		return nil // the watchdog will see it, whatever keeps it from saying so now
	}
	if waitErr != nil {
		r = guard.Result{Order: o, Outcome: guard.Failing, Error: waitErr.Error()}
	}
	return &control.Error{Code: control.RolledBack, Message: guardNews(r)}
}

// lately is for how long a confirm that finds nothing says that a guard has ended.
const lately = time.Hour

// nothingToConfirm says that there is nothing, or that it comes too late.
func (a *app) nothingToConfirm() error {
	r, err := a.watch(guardWatch).Last()
	if left, leftErr := r.Left(); err == nil && r.Outcome != guard.Ended && leftErr == nil && left > -lately {
		return &control.Error{Code: control.RolledBack, Message: "nothing waits for a confirm: " + guardNews(r)}
	}
	return &control.Error{Code: control.NoTrial, Message: "no generation is on trial, and no guard is armed"}
}

// rollbackGuard brings the rules of before the pending guard back, if there is one.
func (a *app) rollbackGuard(ctx context.Context) (*guard.Result, error) {
	w := a.watch(guardWatch)
	o, err := w.Now()
	if errors.Is(err, guard.ErrNone) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("roll back the guard over %q: %w", o.What, err)
	}
	r, err := await(ctx, w, o)
	if err != nil {
		return nil, fmt.Errorf("roll back the guard over %q: %w", o.What, err)
	}
	return &r, nil
}

// guardNews says how a guard ended.
func guardNews(r guard.Result) string {
	at := r.At.Local().Format(time.TimeOnly)
	switch r.Outcome {
	case guard.Done:
		return fmt.Sprintf("the guard over %q ended without a confirm: since %s, %s", r.What, at, r.Did)
	case guard.Failing:
		return fmt.Sprintf("the guard over %q ended without a confirm, but the rules of before are NOT back yet; the watchdog tries on: %s", r.What, r.Error)
	case guard.Rebooted:
		return fmt.Sprintf("the machine was rebooted before the guard over %q was confirmed: the rules of then are gone, and what was loaded at boot is in force", r.What)
	}
	return fmt.Sprintf("the guard over %q was confirmed at %s", r.What, at)
}
