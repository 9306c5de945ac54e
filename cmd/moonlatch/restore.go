package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore",
		Short: "Put the confirmed policy in force again, for instance at boot",
		Long: `Restore loads the generation that was confirmed last from its stored text: no Lua is run
and no network is needed. Where a generation is in force already, that one stays. Then it
puts the bans on record back, each for the time that is left of it.`,
		Example: `  moonlatch restore`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.tend(c.Context()); err != nil {
				fmt.Fprintln(a.err, "moonlatch:", err) // no reason to go without a firewall
			}
			f, err := a.engine(c.Context())
			if err != nil {
				return err
			}
			g, bans, err := f.Restore(c.Context())
			if err != nil {
				return err
			}
			doc := struct {
				APIVersion string `json:"apiVersion"`
				control.Generation
				Bans int `json:"bans_restored"`
			}{control.Version, g, bans}
			return a.print(doc, func(w *writer) {
				w.linef("generation %d (%s) is in force", g.Number, g.Policy)
				if bans > 0 {
					w.linef("%s put back", count(bans, "ban"))
				}
			})
		},
	}
}
