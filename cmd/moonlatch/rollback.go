package main

import (
	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) rollbackCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rollback",
		Short: "End the trial now and bring the confirmed policy back",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			status, err := s.Rollback(c.Context(), control.RollbackRequest{})
			if err != nil {
				return err
			}
			return a.print(status, func(w *writer) {
				w.linef("rolled back")
				w.status(status)
			})
		},
	}
}
