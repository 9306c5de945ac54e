package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/foreign"
)

func (a *app) resetCommand() *cobra.Command {
	var all, dryRun, undo bool
	c := &cobra.Command{
		Use:   "reset",
		Short: "Open the firewall now: take out Moonlatch's rules and bans, or everybody's",
		Long: `Reset takes every generation and every ban of Moonlatch out of the kernel, then asks the
kernel whether they are gone. Tables of other programs are not touched. The
confirmed generation stays on disk: a reboot or "moonlatch restore" brings it back.

With --all it takes away the rules of all other programs, too: every table of
nf_tables, and the rules, chains and policies of legacy iptables, ip6tables and
arptables. Then it asks the kernel whether the machine is open. It keeps a snapshot
of what it took away: "moonlatch reset --undo" brings all of that back.

Reset works without a daemon, without the nft command, and when the state
directory is damaged, full or read-only.

Exit code 1 says that something still filters.`,
		Example: `  moonlatch reset
  moonlatch reset --all --dry-run
  moonlatch reset --undo`,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case undo && (all || dryRun):
				return usageError{errors.New("--undo goes with neither --all nor --dry-run"), c.CommandPath()}
			case undo:
				return a.undoReset(c.Context())
			case dryRun:
				return a.dryReset(c.Context(), all)
			case all:
				return a.resetAll(c.Context())
			}
			return a.resetMoonlatch(c.Context())
		},
	}
	c.Flags().BoolVar(&all, "all", false, "the rules of other programs as well: open the machine")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be taken away, and change nothing")
	c.Flags().BoolVar(&undo, "undo", false, "bring back what the last reset --all took away")
	return c
}

// resetMoonlatch takes away what is ours.
func (a *app) resetMoonlatch(ctx context.Context) error {
	r, err := a.takeOursAway(ctx)
	if err != nil {
		return err
	}
	if err := a.print(r, func(w *writer) { w.reset(r, others(ctx)) }); err != nil {
		return err
	}
	if !r.Open {
		return &control.Error{Code: control.Failed, Message: "the kernel still holds rules or bans of ours: run moonlatch reset again"}
	}
	return nil
}

// takeOursAway asks the daemon, so that it does not heal what is to be gone, or does it by way of the store; if neither
// works it goes to the kernel directly.
func (a *app) takeOursAway(ctx context.Context) (control.ResetResult, error) {
	patient, cancel := context.WithTimeout(ctx, resetPatience)
	defer cancel()
	var r control.ResetResult
	s, err := a.service(patient)
	if err == nil {
		r, err = s.Reset(patient)
	}
	if err == nil {
		return r, nil
	}
	r, kernelErr := engine.ResetKernel()
	if kernelErr != nil {
		return r, err
	}
	r.Note = fmt.Sprintf("it was done in the kernel directly, because: %v", err)
	forgetting, cancel := context.WithTimeout(ctx, forgetPatience)
	defer cancel()
	if err := engine.ForgetBans(forgetting, a.state); err != nil {
		r.Note += "; " + err.Error()
	}
	return r, nil
}

// others lists the tables of other programs that filter, as far as they can be seen.
func others(ctx context.Context) []foreign.Table {
	t, err := foreign.Find(ctx)
	if err != nil {
		return nil
	}
	defer t.Close()
	r, err := t.Verify(ctx)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(r.Filtering(), func(t foreign.Table) bool { return t.Tool == "nft" && engine.OurTable(t.Name) })
}

func (w *writer) reset(r control.ResetResult, others []foreign.Table) {
	w.linef("removed %s and %s", count(len(r.Generations), "generation"), count(r.Bans, "ban"))
	if r.Open && len(others) == 0 {
		w.linef("the kernel confirms: no rule or ban of Moonlatch is left, everything passes")
	} else if r.Open {
		w.linef("the kernel confirms: no rule or ban of Moonlatch is left")
	}
	if len(others) > 0 {
		w.linef("rules of other programs still filter (%s, %s in all): moonlatch reset --all takes those away, too",
			left(others[0]), count(len(others), "table"))
	}
	if r.Boot != 0 {
		w.linef("generation %d is still the confirmed one on disk: moonlatch restore, or a reboot, brings it back", r.Boot)
	}
	if r.Note != "" {
		w.linef("note: %s", r.Note)
	}
}
