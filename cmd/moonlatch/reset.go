package main

import (
	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) resetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reset",
		Short: "Open the firewall now: take every rule and ban of Moonlatch out of the kernel",
		Long: `Reset takes every generation and every ban of Moonlatch out of the kernel, then asks the
kernel whether they are gone. Tables of other programs are not touched. The
confirmed generation stays on disk: a reboot or "moonlatch restore" brings it back.`,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			r, err := s.Reset(c.Context())
			if err != nil {
				return err
			}
			if err := a.print(r, func(w *writer) { w.reset(r) }); err != nil {
				return err
			}
			if !r.Open {
				return &control.Error{Code: control.Failed, Message: "the kernel still holds rules or bans of ours: run moonlatch reset again"}
			}
			return nil
		},
	}
}

func (w *writer) reset(r control.ResetResult) {
	w.linef("removed %s and %s", count(len(r.Generations), "generation"), count(r.Bans, "ban"))
	if r.Open {
		w.linef("the kernel confirms: no rule or ban of Moonlatch is left, everything passes")
	}
	if r.Boot != 0 {
		w.linef("generation %d is still the confirmed one on disk: moonlatch restore, or a reboot, brings it back", r.Boot)
	}
}
