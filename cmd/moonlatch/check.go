package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/control"
)

func (a *app) checkCommand() *cobra.Command {
	var strict bool
	c := &cobra.Command{
		Use:   "check POLICY",
		Short: "Check a policy by really loading it, in a private namespace",
		Example: `  moonlatch check web.lua
  moonlatch check --strict web.lua`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.check(c.Context(), args[0], checkOptions{strict: strict})
		},
	}
	c.Flags().BoolVar(&strict, "strict", false, "take warnings for mistakes: exit code 3")
	return c
}

// checkOptions say what a check shows and minds.
type checkOptions struct {
	strict bool
	show   bool // the ruleset
}

// checked is what a check found.
type checked struct {
	APIVersion string   `json:"apiVersion"`
	Policy     string   `json:"policy"`
	Digest     string   `json:"digest"`
	Chains     int      `json:"chains"`
	Rules      int      `json:"rules"`
	Warnings   []string `json:"warnings"`
	Notes      []string `json:"notes,omitempty"` // of what cannot be known here
	Ruleset    string   `json:"ruleset,omitempty"`
}

func (a *app) check(ctx context.Context, path string, o checkOptions) error {
	p, req, err := engine.Load(path, a.quietLog())
	if err != nil {
		return err
	}
	defer p.Close()
	if err := engine.Check(ctx, p, "/proc/self/exe", insideCommand); err != nil {
		return err
	}
	r := checked{APIVersion: control.Version, Policy: req.Entry, Digest: p.Ruleset().Digest(), Chains: len(p.Ruleset().Chains), Warnings: warnings(p)}
	found, notes := engine.FeedFindings(p, a.state)
	r.Notes = notes
	for _, w := range found {
		r.Warnings = append(r.Warnings, w.Error())
	}
	for _, c := range p.Ruleset().Chains {
		r.Rules += len(c.Rules)
	}
	if o.strict && len(r.Warnings) > 0 {
		return &control.Error{Code: control.BadPolicy, Message: strings.Join(r.Warnings, "\n")}
	}
	if o.show {
		r.Ruleset = engine.Rules(p)
	}
	return a.print(r, func(w *writer) {
		for _, warning := range r.Warnings {
			w.linef("warning: %s", warning)
		}
		for _, note := range r.Notes {
			w.linef("note: %s", note)
		}
		if o.show {
			w.linef("%s", r.Ruleset)
		}
		w.linef("%s is good: the kernel takes its %s in %s", r.Policy, count(r.Rules, "rule"), count(r.Chains, "chain"))
	})
}

// insideCommand is what check runs in the private namespace.
const insideCommand = "check-inside"

func (a *app) insideCommand() *cobra.Command {
	return &cobra.Command{
		Use:    insideCommand,
		Hidden: true,
		Short:  "Load a ruleset from standard input (used by check, in a private namespace)",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := engine.CheckInside(c.Context(), os.Stdin, a.out); err != nil {
				return fmt.Errorf("check: %w", err)
			}
			return nil
		},
	}
}
