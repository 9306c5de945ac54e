package main

import (
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/control"
)

func (a *app) extendCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "extend DURATION",
		Short: "Prolong the trial by a time",
		Long: `Extend adds a time to what is left of the trial and prints when it now ends. Should you
be locked out, you are so for that much longer. A trial that is over cannot be
prolonged: apply the policy again.`,
		Example:           "  moonlatch extend 5m",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDurations,
		RunE: func(c *cobra.Command, args []string) error {
			var more duration
			if err := more.Set(args[0]); err != nil {
				return usageError{err, c.CommandPath()}
			}
			if err := engine.CheckTrial(time.Duration(more)); err != nil {
				return usageError{err, c.CommandPath()}
			}
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			extended, err := s.Extend(c.Context(), control.ExtendRequest{For: time.Duration(more)})
			if err != nil {
				return err
			}
			return a.print(extended, func(w *writer) { w.extended(extended) })
		},
	}
}

func (w *writer) extended(e control.Extended) {
	w.linef("generation %d (%s) is on trial for another %s, until %s", e.Generation.Number, e.Generation.Policy,
		seconds(e.Left), e.Deadline.Local().Format(time.TimeOnly))
	w.linef("otherwise %s then", fallbackText(e.Generation.Fallback))
}
