package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/notify"
	"moonlatch/engine/policy"
)

func (a *app) checkCommand() *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use:   "check POLICY",
		Short: "Check a policy by really loading it, in a private namespace",
		Long: `Check runs a policy as "moonlatch apply" does, and has the kernel load its ruleset in a network
namespace of its own: what the kernel would refuse is found there. Nothing on this host changes.
It needs no root. Exit code 3 means that the policy is not valid.`,
		Example: `  moonlatch check web.lua
  moonlatch check --strict web.lua`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.check(c.Context(), args[0], o)
		},
	}
	c.Flags().BoolVar(&o.strict, "strict", false, "take warnings for mistakes: exit code 3")
	c.Flags().StringVar(&o.notify, "notify", "", "the daemon's `file` of targets, for the names that the policy notifies. Default: "+defaultNotify+", where it can be read")
	return c
}

// checkOptions say what a check shows and minds.
type checkOptions struct {
	strict bool
	show   bool // the ruleset
	notify string
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
	targetNotes, err := checkTargets(p, o.notify)
	if err != nil {
		return err
	}
	if err := engine.Check(ctx, p, "/proc/self/exe", insideCommand); err != nil {
		return err
	}
	r := checked{APIVersion: control.Version, Policy: req.Entry, Digest: p.Ruleset().Digest(), Chains: len(p.Ruleset().Chains), Warnings: warnings(p)}
	found, notes := engine.FeedFindings(p, a.state)
	r.Notes = append(notes, targetNotes...)
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

// checkTargets compares the names that a policy notifies with a file of targets, and notes where there is none.
func checkTargets(p *policy.Policy, file string) (notes []string, err error) {
	var names []string
	for _, t := range p.Targets() {
		if name := strconv.Quote(t.Name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	targets, err := notify.Read(cmp.Or(file, defaultNotify))
	switch {
	case err == nil:
		if err = p.UnknownTargets(targets.Names()); err != nil {
			err = &control.Error{Code: control.BadPolicy, Message: err.Error()}
		}
		return nil, err
	case file != "":
		return nil, err
	}
	why := errors.Unwrap(err)
	return []string{fmt.Sprintf("whether there are the targets of notifications %s is not known here: %v", strings.Join(names, ", "), cmp.Or(why, err))}, nil
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
