package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) rollbackCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rollback",
		Short: "End the trial, or what a guard watches over, now: what was there before is back",
		Long: `Rollback does at once what would follow if nobody confirmed: the policy confirmed last is back, or,
after "moonlatch guard", the rules that were there before the command.`,
		Example: `  moonlatch rollback`,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			undone, err := a.rollbackGuard(c.Context())
			if err != nil {
				return err
			}
			if undone != nil {
				fmt.Fprintln(a.err, "moonlatch:", guardNews(*undone))
			}
			status, err := s.Rollback(c.Context(), control.RollbackRequest{By: caller()})
			var told *control.Error
			if undone != nil && errors.As(err, &told) && told.Code == control.NoTrial {
				status, err = s.Status(c.Context())
			}
			if err != nil {
				return err
			}
			doc := a.statusDocument(status)
			return a.print(doc, func(w *writer) {
				w.linef("rolled back")
				w.status(doc)
			})
		},
	}
}
