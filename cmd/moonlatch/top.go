package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) topCommand() *cobra.Command {
	since, n := duration(24*time.Hour), 0
	c := &cobra.Command{
		Use:   "top sources|ports|policies",
		Short: "Show which sources, ports or policies there was most of",
		Long: `Top counts the packets that rules logged, by source or by destination port, or the bans,
by the detector, handler, trap or person that made them. Of IPv6 sources, /64s count.

Packets of the last day are counted by the minute, older ones by the hour.`,
		Example: `  moonlatch top sources
  moonlatch top ports --since 7d -n 5`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"sources", "ports", "policies"},
		RunE: func(c *cobra.Command, args []string) error {
			if n < 1 || n > control.MaxHistory {
				return usageError{fmt.Errorf("-n is from 1 to %d", control.MaxHistory), c.CommandPath()}
			}
			return a.top(c, control.TopRequest{Of: args[0], Since: time.Now().Add(-time.Duration(since)), Limit: n})
		},
	}
	flags := c.Flags()
	flags.Var(&since, "since", "how far back, such as 1h or 7d")
	flags.IntVarP(&n, "limit", "n", 20, "at most so many")
	c.RegisterFlagCompletionFunc("since", completeDurations) // fails only for a flag that is not there
	return c
}

func (a *app) top(c *cobra.Command, req control.TopRequest) error {
	s, err := a.service(c.Context())
	if err != nil {
		return err
	}
	all, err := s.Top(c.Context(), req)
	if err != nil {
		return err
	}
	doc := struct {
		APIVersion string          `json:"apiVersion"`
		Of         string          `json:"of"`
		Since      time.Time       `json:"since"`
		Top        []control.Total `json:"top"`
	}{control.Version, req.Of, req.Since.UTC().Round(time.Second), append([]control.Total{}, all...)}
	return a.print(doc, func(w *writer) { w.top(req.Of, all) })
}

func (w *writer) top(of string, all []control.Total) {
	if len(all) == 0 {
		w.linef("nothing was counted in that time")
		return
	}
	head := map[string]string{"sources": "SOURCE\tPACKETS\tBANS\tLAST\tPORTS", "ports": "PORT\tPACKETS\tLAST", "policies": "BY\tBANS\tLAST"}
	rows := []string{head[of]}
	for _, t := range all {
		last := shortTime(t.Last)
		switch of {
		case "sources":
			rows = append(rows, fmt.Sprintf("%s\t%d\t%d\t%s\t%s", t.Name, t.Events, t.Bans, last, t.Ports))
		case "ports":
			rows = append(rows, fmt.Sprintf("%s\t%d\t%s", t.Name, t.Events, last))
		default:
			rows = append(rows, fmt.Sprintf("%s\t%d\t%s", t.Name, t.Bans, last))
		}
	}
	w.table(rows)
}
