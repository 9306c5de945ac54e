package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/policy"
	"moonlatch/engine/probe"
)

// applyOptions are the flags of apply.
type applyOptions struct {
	confirm duration
	dryRun  bool
	wait    bool
	probes  probes
	check   bool
}

func (a *app) applyCommand() *cobra.Command {
	var o applyOptions
	c := &cobra.Command{
		Use:   "apply POLICY",
		Short: "Put a policy in force on trial: confirm it in time, or it is undone",
		Long: `Apply puts a policy's ruleset in force at once, on trial. Run "moonlatch confirm" before
the trial ends, best from a new connection. Otherwise the kernel ends the trial
and the generation confirmed last is back: nothing has to be alive for that.

With --wait it stays in the foreground, shows what is left of the trial, and
ends with 0 when the policy is confirmed and with 7 when it is not. On a terminal
it takes y and n for an answer. Interrupting it, or losing the connection, leaves
the trial as it is.

With --probe the policy confirms itself: once it is in force, this host tries to
reach what the probes name. When all of them pass, it is confirmed. When one fails
three times in a row, the policy is rolled back at once (exit code 7), or, with
--wait, stays on trial for you to decide. --confirm-by-check does the same with the
check of the policy's fw.watchdog. Both show that this host gets out, and that
something answers. They do not show that you get in.`,
		Example: `  moonlatch apply --confirm 2m web.lua
  moonlatch apply --wait web.lua
  moonlatch apply --probe tcp:192.0.2.53:53 --probe https://example.com/ web.lua`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.validate(); err != nil {
				return usageError{err, c.CommandPath()}
			}
			if o.dryRun {
				return a.check(c.Context(), args[0], checkOptions{show: true})
			}
			return a.apply(c, args[0], o)
		},
	}
	flags := c.Flags()
	flags.Var(&o.confirm, "confirm", "how long the trial lasts (default: what the policy says, or 1m)")
	flags.BoolVar(&o.dryRun, "dry-run", false, "only check the policy in a private namespace and print the ruleset")
	flags.BoolVar(&o.wait, "wait", false, "wait in the foreground until the trial ends")
	flags.Var(&o.probes, "probe", "confirm when this `probe` passes, roll back when it fails; may be given more than once. A probe is "+probe.Forms)
	flags.BoolVar(&o.check, "confirm-by-check", false, "confirm when the policy's watchdog check passes, roll back when it fails")
	// These fail only for flags that are not there.
	c.RegisterFlagCompletionFunc("confirm", completeDurations)
	c.RegisterFlagCompletionFunc("probe", completeProbes)
	return c
}

// validate refuses what cannot be done, before anything is.
func (o *applyOptions) validate() error {
	if o.confirm != 0 {
		if err := engine.CheckTrial(time.Duration(o.confirm)); err != nil {
			return err
		}
	}
	if o.dryRun && (o.wait || o.check || len(o.probes) > 0) {
		return errors.New("--dry-run puts nothing in force: it goes with none of --wait, --probe and --confirm-by-check")
	}
	return nil
}

func (a *app) apply(c *cobra.Command, path string, o applyOptions) error {
	p, req, err := engine.Load(path, a.quietLog())
	if err != nil {
		return err
	}
	defer p.Close()
	tests, err := o.tests(p)
	if err != nil {
		return usageError{err, c.CommandPath()}
	}
	if err := a.noGuard(); err != nil {
		return err
	}
	s, err := a.service(c.Context())
	if err != nil {
		return err
	}
	req.Confirm, req.By, req.Spare = time.Duration(o.confirm), caller(), session()
	applied, err := applyWith(c, s, p, req)
	if err != nil {
		return err
	}
	if w := lockedOut(p); w != "" {
		applied.Warnings = append(applied.Warnings, w)
	}
	if !o.wait && len(tests) == 0 {
		return a.print(applied, func(w *writer) { w.applied(applied, howToConfirm) })
	}
	how := howToConfirm
	if len(tests) > 0 {
		how = fmt.Sprintf("it is confirmed when %s", passes(len(tests)))
	}
	if err := a.say(func(w *writer) { w.applied(applied, how) }); err != nil {
		return err
	}
	return a.finish(c.Context(), s, applied, tests, o.wait)
}

// applyWith spares the firewall of this process a second load of the policy.
func applyWith(c *cobra.Command, s control.Service, p *policy.Policy, req control.ApplyRequest) (control.Applied, error) {
	if f, local := s.(*engine.Firewall); local {
		return f.ApplyLoaded(c.Context(), p, req)
	}
	return s.Apply(c.Context(), req)
}

const howToConfirm = "confirm it, best from a new connection:  moonlatch confirm"

func (w *writer) applied(applied control.Applied, how string) {
	for _, warning := range applied.Warnings {
		w.linef("warning: %s", warning)
	}
	w.linef("generation %d (%s) is in force on trial for %s", applied.Generation.Number, applied.Generation.Policy, seconds(applied.Left))
	w.linef("%s", how)
	w.linef("otherwise %s at %s, even with every process dead", fallbackText(applied.Generation.Fallback),
		time.Now().Add(time.Duration(applied.Left*float64(time.Second))).Format(time.TimeOnly))
	if !applied.Daemon {
		w.linef("no daemon is running: the rules are in force, but detectors, handlers and timers are not (moonlatch run)")
	}
}

func fallbackText(fallback string) string {
	if fallback == "open" {
		return "everything passes again"
	}
	return "the generation confirmed last is back"
}
