package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) confirmCommand() *cobra.Command {
	var newSession bool
	c := &cobra.Command{
		Use:   "confirm",
		Short: "Make the policy on trial permanent",
		Long: `Confirm makes the policy on trial permanent. Do it from a connection that you open after
the apply: that one shows that the policy lets you in, and one that was open
before does not, since replies to it pass. Confirm tells which of the two yours
is, from the start of the sshd (or dropbear, or mosh-server) that it descends
from. In tmux or screen, on a console and from cron it cannot tell.`,
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
	confirmed, err := s.Confirm(ctx, req)
	if err != nil {
		return err
	}
	return a.print(confirmed, func(w *writer) { w.confirmed(confirmed) })
}

// confirmRequest is one of this process, whoever serves it.
func confirmRequest() control.ConfirmRequest {
	return control.ConfirmRequest{By: caller(), From: session(), PID: os.Getpid()}
}

func (w *writer) confirmed(c control.Confirmed) {
	w.linef("generation %d (%s) is confirmed: it stays, also over a reboot where Moonlatch starts at boot", c.Number, c.Policy)
	switch c.Session.Session {
	case control.SessionNew:
		w.linef("this session is younger than the apply (since %s): new connections get in", c.Since.Local().Format(time.TimeOnly))
	case control.SessionOld:
		w.linef("warning: this session was there before the apply (since %s), and replies to it pass: it does not show that new connections get in", c.Since.Local().Format(time.TimeOnly))
		w.linef("open one now; if you cannot, undo this from here:  moonlatch reset")
		w.linef("next time confirm from a new connection:  moonlatch confirm --new-session")
	default:
		w.linef("note: nothing tells whether this session is younger than the apply: %s", c.Why)
	}
}
