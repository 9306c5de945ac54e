package main

import (
	"strings"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) logLevelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "log-level [debug|info|warn|error]",
		Short: "Show or change how much the running daemon logs",
		Long: `Log-level shows from which level on the running daemon logs. With a level it changes that, until
the daemon ends.`,
		Example: `  moonlatch log-level
  moonlatch log-level debug`,
		ValidArgs: []cobra.Completion{"debug", "info", "warn", "error"},
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			l, err := s.LogLevel(c.Context(), control.LogLevel{Level: strings.Join(args, "")})
			if err != nil {
				return err
			}
			return a.print(l, func(w *writer) { w.linef("the daemon logs from level %s on", l.Level) })
		},
	}
}
