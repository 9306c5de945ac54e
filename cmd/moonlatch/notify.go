package main

import (
	"github.com/spf13/cobra"

	"moonlatch/engine/control"
	"moonlatch/engine/feed"
	"moonlatch/engine/notify"
)

// defaultNotify is where the targets of notifications are written.
const defaultNotify = "/etc/moonlatch/notify.toml"

func (a *app) notifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "notify",
		Short: "Try who is told what happens",
		Long:  "Notify tries the targets in the file that \"moonlatch run --notify\" reads.",
		RunE:  help,
	}
	path := c.PersistentFlags().String("notify", defaultNotify, "`file` of the targets")
	c.AddCommand(&cobra.Command{
		Use:     "test NAME",
		Short:   "Send one notification to a target, now",
		Long:    "Test sends one message to a target, once, and says what is wrong if it does not get there.",
		Example: `  moonlatch notify test ops`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			targets, err := notify.Read(*path)
			if err != nil {
				return err
			}
			if err := notify.New(targets, feed.NewHub(), a.quietLog()).Test(c.Context(), args[0]); err != nil {
				return err
			}
			doc := struct {
				APIVersion string `json:"apiVersion"`
				Sent       string `json:"sent"`
			}{control.Version, args[0]}
			return a.print(doc, func(w *writer) { w.linef("sent to %s", args[0]) })
		},
	})
	return c
}
