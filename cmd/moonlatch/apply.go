package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/control"
)

func (a *app) applyCommand() *cobra.Command {
	var confirm duration
	var dryRun bool
	c := &cobra.Command{
		Use:   "apply POLICY",
		Short: "Put a policy in force on trial: confirm it in time, or it is undone",
		Long: `Apply puts a policy's ruleset in force at once, on trial. Run "moonlatch confirm" before
the trial ends, best from a new connection. Otherwise the kernel ends the trial
and the generation confirmed last is back: nothing has to be alive for that.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if dryRun {
				return a.check(c.Context(), args[0], true)
			}
			return a.apply(c, args[0], time.Duration(confirm))
		},
	}
	c.Flags().Var(&confirm, "confirm", "how long the trial lasts (default: what the policy says, or 1m)")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only check the policy in a private namespace and print the ruleset")
	return c
}

func (a *app) apply(c *cobra.Command, path string, confirm time.Duration) error {
	p, req, err := engine.Load(path, a.quietLog())
	if err != nil {
		return err
	}
	defer p.Close()
	s, err := a.service(c.Context())
	if err != nil {
		return err
	}
	req.Confirm, req.By, req.Spare = confirm, caller(), session()
	var applied control.Applied
	if f, local := s.(*engine.Firewall); local {
		applied, err = f.ApplyLoaded(c.Context(), p, req)
	} else {
		applied, err = s.Apply(c.Context(), req)
	}
	if err != nil {
		return err
	}
	return a.print(applied, func(w *writer) {
		for _, warning := range applied.Warnings {
			w.linef("warning: %s", warning)
		}
		w.linef("generation %d (%s) is in force on trial for %s", applied.Generation.Number, applied.Generation.Policy, seconds(applied.Left))
		w.linef("confirm it, best from a new connection:  moonlatch confirm")
		w.linef("otherwise %s at %s, even with every process dead", fallbackText(applied.Generation.Fallback),
			time.Now().Add(time.Duration(applied.Left*float64(time.Second))).Format("15:04:05"))
		if !applied.Daemon {
			w.linef("no daemon is running: the rules are in force, but detectors, handlers and timers are not (moonlatch run)")
		}
	})
}

func fallbackText(fallback string) string {
	if fallback == "open" {
		return "everything passes again"
	}
	return "the generation confirmed last is back"
}

func (a *app) confirmCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "confirm",
		Short: "Make the policy on trial permanent",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			g, err := s.Confirm(c.Context())
			if err != nil {
				return err
			}
			return a.print(g, func(w *writer) {
				w.linef("generation %d (%s) is confirmed: it stays, also over a reboot where Moonlatch starts at boot", g.Number, g.Policy)
			})
		},
	}
}

func (a *app) rollbackCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rollback",
		Short: "End the trial now and bring the confirmed policy back",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			status, err := s.Rollback(c.Context())
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

func (a *app) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore",
		Short: "Put the confirmed policy in force again, for instance at boot",
		Long: `Restore loads the generation that was confirmed last from its stored text: no Lua is run
and no network is needed. Where a generation is in force already, it does nothing.`,
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := engine.Open(c.Context(), engine.Config{State: a.state, Log: a.quietLog()})
			if err != nil {
				return err
			}
			g, err := f.Restore(c.Context())
			if err != nil {
				return err
			}
			return a.print(g, func(w *writer) { w.linef("generation %d (%s) is in force", g.Number, g.Policy) })
		},
	}
}

// duration is a flag in the policies' syntax: 60s, 1h30m, 7d.
type duration time.Duration

func (d *duration) Set(s string) error {
	parsed, err := model.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is no duration: write it as 90s, 15m, 1h30m or 7d", s)
	}
	if parsed <= 0 {
		return errors.New("a duration must be more than nothing")
	}
	*d = duration(parsed)
	return nil
}

func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return model.Duration(*d).String()
}

func (*duration) Type() string { return "duration" }
