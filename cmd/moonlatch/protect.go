package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) protectCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "protect",
		Short: "Say who can never be banned",
		Long: `Protected addresses are never banned, whatever a policy says. This host's own, its
default gateways and resolvers are, those that somebody is logged in from over
SSH, and what the policy names in fw.protect. With "protect add" you protect more: at
once, and through restarts, reboots and other policies. Bans of it are lifted.`,
		Example: `  moonlatch protect list
  moonlatch protect add 198.51.100.7 --note "office"
  moonlatch protect remove 198.51.100.7`,
		Args: cobra.ArbitraryArgs,
		RunE: subcommands,
	}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(a.protectListCommand(), a.protectAddCommand(), a.protectRemoveCommand())
	return c
}

// subcommands is what a command does by itself that only has subcommands.
func subcommands(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	hint := ""
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf(" (did you mean %q?)", near[0])
	}
	return usageError{fmt.Errorf("unknown command %q%s", args[0], hint), c.CommandPath()}
}

func (a *app) protectListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List who is protected, and by whom",
		Long: `List shows what can never be banned: what you protected, what the policy protects, this host's own
addresses, gateways and resolvers, and those that somebody is logged in from.`,
		Example: `  moonlatch protect list`,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			all, err := s.Protected(c.Context())
			if err != nil {
				return err
			}
			doc := struct {
				APIVersion string              `json:"apiVersion"`
				Protected  []control.Protected `json:"protected"`
			}{control.Version, append([]control.Protected{}, all...)}
			return a.print(doc, func(w *writer) { w.protected(all) })
		},
	}
}

// ownerText says who protects an address.
var ownerText = map[string]string{
	control.OwnerHost: "this host's own", control.OwnerGateway: "a default gateway", control.OwnerResolver: "a resolver",
	control.OwnerSession: "a session of yours", control.OwnerPolicy: "the policy", control.OwnerUser: "you",
	control.OwnerKernel: "the running policy or a session",
}

func (w *writer) protected(all []control.Protected) {
	if len(all) == 0 {
		w.linef("nobody is protected")
		return
	}
	rows := []string{"ADDRESS\tPROTECTED AS\tNOTE\tSINCE"}
	for _, p := range all {
		since := ""
		if !p.Added.IsZero() {
			since = p.Added.Local().Format(time.DateOnly)
		}
		note := p.Note
		if !p.Resolved.IsZero() {
			note += " (does not resolve; did last " + p.Resolved.Local().Format(time.DateTime) + ")"
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s", p.Target, ownerText[p.Owner], note, since))
	}
	w.table(rows)
}

func (a *app) protectAddCommand() *cobra.Command {
	var note string
	c := &cobra.Command{
		Use:   "add ADDRESS|PREFIX",
		Short: "Protect an address or a prefix for good",
		Long: `Add protects an address or a prefix: bans that cover it are lifted, and none will cover it again,
whatever a policy says, until it is removed.`,
		Example: `  moonlatch protect add 198.51.100.7 --note "office"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			p, err := s.Protect(c.Context(), control.ProtectRequest{Target: args[0], Note: note})
			if err != nil {
				return err
			}
			return a.print(p, func(w *writer) {
				w.linef("%s can never be banned", p.Target)
				if len(p.Lifted) > 0 {
					w.linef("%s lifted: %s", count(len(p.Lifted), "ban"), listed(p.Lifted))
				}
			})
		},
		ValidArgsFunction: a.completeBanned,
	}
	c.Flags().StringVar(&note, "note", "", "why, shown by protect list")
	return c
}

// listed names the first of many.
func listed(all []string) string {
	const most = 5
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
}

func (a *app) protectRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove ADDRESS|PREFIX",
		Aliases: []string{"delete", "rm"},
		Short:   "Protect it no more",
		Long:    "Remove ends a protection that \"moonlatch protect add\" gave. Bans of before do not come back.",
		Example: `  moonlatch protect remove 198.51.100.7`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			r, err := s.Unprotect(c.Context(), control.UnprotectRequest{Target: args[0]})
			if err != nil {
				return err
			}
			return a.print(r, func(w *writer) {
				w.linef("you protect %s no more", r.Target)
				if r.Still != "" {
					w.linef("it stays protected by %s", r.Still)
				}
			})
		},
		ValidArgsFunction: a.completeUsers,
	}
}

// completeUsers completes what the user protects.
func (a *app) completeUsers(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s, err := a.firewall(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	all, err := s.Protected(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, p := range all {
		if p.Owner == control.OwnerUser {
			out = append(out, strings.TrimSuffix(p.Target+"\t"+p.Note, "\t"))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
