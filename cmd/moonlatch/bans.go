package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) banCommand() *cobra.Command {
	length := duration(time.Hour)
	var why string
	c := &cobra.Command{
		Use:   "ban ADDRESS|PREFIX",
		Short: "Drop everything from an address or a prefix for a time",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			b, err := s.Ban(c.Context(), control.BanRequest{Target: args[0], For: time.Duration(length), Why: why})
			if err != nil {
				return err
			}
			return a.print(b, func(w *writer) { w.linef("%s is banned until %s", b.Target, b.Until.Local().Format(time.DateTime)) })
		},
	}
	c.Flags().Var(&length, "for", "how long")
	c.Flags().StringVar(&why, "why", "", "reason, shown by moonlatch bans")
	return c
}

func (a *app) unbanCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "unban ADDRESS|PREFIX",
		Short: "Lift a ban, or all of them",
		Args: func(c *cobra.Command, args []string) error {
			if all {
				return cobra.NoArgs(c, args)
			}
			return cobra.ExactArgs(1)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			r, err := s.Unban(c.Context(), control.UnbanRequest{Target: strings.Join(args, ""), All: all})
			if err != nil {
				return err
			}
			return a.print(r, func(w *writer) { w.linef("%s lifted", count(r.Lifted, "ban")) })
		},
	}
	c.Flags().BoolVar(&all, "all", false, "lift every ban")
	return c
}

func (a *app) bansCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "bans",
		Short: "List the bans in force",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			bans, err := s.Bans(c.Context())
			if err != nil {
				return err
			}
			slices.SortFunc(bans, func(x, y control.Ban) int { return x.Until.Compare(y.Until) })
			doc := struct {
				APIVersion string        `json:"apiVersion"`
				Bans       []control.Ban `json:"bans"`
			}{control.Version, append([]control.Ban{}, bans...)}
			return a.print(doc, func(w *writer) { w.bans(bans) })
		},
	}
}

func (w *writer) bans(bans []control.Ban) {
	if len(bans) == 0 {
		w.linef("nobody is banned")
		return
	}
	rows := []string{"ADDRESS\tLEFT\tBY\tWHY"}
	for _, b := range bans {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s", b.Target, time.Until(b.Until).Round(time.Second), b.By, b.Why))
	}
	w.table(rows)
}
