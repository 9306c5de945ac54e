package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"moonlatch/engine"
)

func (a *app) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore",
		Short: "Put the confirmed policy in force again, for instance at boot",
		Long: `Restore loads the generation that was confirmed last from its stored text: no Lua is run
and no network is needed. Where a generation is in force already, it does nothing.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.tend(c.Context()); err != nil {
				fmt.Fprintln(a.err, "moonlatch:", err) // no reason to go without a firewall
			}
			f, err := engine.Open(c.Context(), engine.Config{State: a.state, Log: a.quietLog()})
			if err != nil {
				return err
			}
			g, err := f.Restore(c.Context())
			if err != nil {
				return err
			}
			return a.print(g, func(w *writer) { w.linef("generation %d (%s) is in force", g.Number, g.Policy) })
		},
	}
}
