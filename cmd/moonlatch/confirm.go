package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) confirmCommand() *cobra.Command {
	var newSession bool
	c := &cobra.Command{
		Use:   "confirm",
		Short: "Make the policy on trial, and what a guard watches over, permanent",
		Long: `Confirm makes the policy on trial permanent, and ends a pending guard, so that the rules
that it watches over stay. Do it from a connection that you open after the apply:
that one shows that the policy lets you in, and one that was open before does not,
since replies to it pass. Confirm tells which of the two yours
is, from the start of the sshd (or dropbear, or mosh-server) that it descends
from. In tmux or screen, on a console and from cron it cannot tell.`,
		Example: `  moonlatch confirm
  moonlatch confirm --new-session`,
		RunE: func(c *cobra.Command, _ []string) error { return a.confirm(c.Context(), newSession) },
	}
	c.Flags().BoolVar(&newSession, "new-session", false, "refuse, unless this session is shown to be younger than the apply")
	return c
}

func (a *app) confirm(ctx context.Context, newSession bool) error {
	s, err := a.service(ctx)
	if err != nil {
		return err
	}
	req := confirmRequest()
	req.NewSession = newSession
	guarded, err := a.checkGuard(req)
	if err != nil {
		return err
	}
	trial, err := confirmTrial(ctx, s, req)
	if err == nil && guarded != nil {
		err = a.confirmGuard(ctx)
	} else if err == nil && trial == nil {
		err = a.nothingToConfirm()
	}
	if err != nil {
		guarded = nil
	}
	if trial == nil && guarded == nil {
		return err
	}
	doc := confirmation{control.Version, trial, guarded}
	return errors.Join(err, a.print(doc, func(w *writer) { w.confirmation(doc) }))
}

// confirmation is all that one confirm made permanent.
type confirmation struct {
	APIVersion string `json:"apiVersion"`
	*control.Confirmed
	Guard *guarded `json:"guard,omitempty"`
}

func (w *writer) confirmation(c confirmation) {
	if c.Guard != nil {
		w.linef("the guard over %q is confirmed: its rules stay until something else changes them", c.Guard.What)
	}
	switch {
	case c.Confirmed != nil:
		w.confirmed(*c.Confirmed)
	case c.Guard != nil:
		w.session(c.Guard.Session, "guard", "moonlatch reset --all")
	}
}

// confirmTrial confirms the policy on trial. It returns nil if there is none.
func confirmTrial(ctx context.Context, s control.Service, req control.ConfirmRequest) (*control.Confirmed, error) {
	c, err := s.Confirm(ctx, req)
	var told *control.Error
	if errors.As(err, &told) && told.Code == control.NoTrial {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// confirmRequest is one of this process, whoever serves it.
func confirmRequest() control.ConfirmRequest {
	return control.ConfirmRequest{By: caller(), From: session(), PID: os.Getpid()}
}

func (w *writer) confirmed(c control.Confirmed) {
	w.linef("generation %d (%s) is confirmed: it stays, also over a reboot where Moonlatch starts at boot", c.Number, c.Policy)
	w.session(c.Session, "apply", "moonlatch reset")
}

// session says what the session of a confirm shows of a change, and how to undo that.
func (w *writer) session(c control.Session, change, undo string) {
	switch c.Session {
	case control.SessionNew:
		w.linef("this session is younger than the %s (since %s): new connections get in", change, c.Since.Local().Format(time.TimeOnly))
	case control.SessionOld:
		w.linef("warning: this session was there before the %s (since %s), and replies to it pass: it does not show that new connections get in", change, c.Since.Local().Format(time.TimeOnly))
		w.linef("open one now; if you cannot, undo this from here:  %s", undo)
		w.linef("next time confirm from a new connection:  moonlatch confirm --new-session")
	default:
		w.linef("note: nothing tells whether this session is younger than the %s: %s", change, c.Why)
	}
}
