package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"moonlatch/engine/control"
	"moonlatch/engine/foreign"
	"moonlatch/engine/guard"
)

// How often a safety net may reset.
const (
	shortestNet = 10 * time.Second
	longestNet  = 24 * time.Hour
)

// fullyOpen is what a safety net resets to without a ruleset.
const fullyOpen = "fully open"

func (a *app) safetynetCommand() *cobra.Command {
	var every duration
	var ruleset string
	c := &cobra.Command{
		Use:   "safetynet --every 15m [--ruleset FILE]",
		Short: "Reset the whole firewall again and again, until you switch that off",
		Long: `Safetynet leaves a watchdog process behind that resets everything that filters on this
machine at every tick, whoever made it and whatever has happened since: to fully
open, or to the rules of FILE, in the syntax of nft or of iptables-save. Moonlatch's
own generations and bans go as well. It is for a long afternoon of trying rules out:
whatever you do, you get in again at the next tick.

FILE is really loaded, in a private namespace, before it is accepted, and what that
gave is kept: later changes of FILE do not matter. Every reset is verified by asking
the kernel, and logged.

It outlives the terminal and the login, and a reboot where moonlatch restore runs at boot.`,
		Example: "  moonlatch safetynet --every 15m\n  moonlatch safetynet --every 10m --ruleset known-good.nft\n  moonlatch safetynet off",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.safetynet(c.Context(), time.Duration(every), ruleset)
		},
	}
	c.Flags().Var(&every, "every", "how often to reset")
	c.Flags().StringVar(&ruleset, "ruleset", "", "reset to the rules in `file` (default: fully open)")
	c.AddCommand(a.safetynetOffCommand(), a.safetynetStatusCommand())
	return c
}

func (a *app) safetynet(ctx context.Context, every time.Duration, ruleset string) error {
	switch {
	case every == 0:
		return usageError{errors.New("say how often to reset: --every 15m; or off, or status"), "moonlatch safetynet"}
	case every < shortestNet || every > longestNet:
		return usageError{fmt.Errorf("--every %s: a safety net resets every %s to %s", model.Duration(every),
			model.Duration(shortestNet), model.Duration(longestNet)), "moonlatch safetynet"}
	}
	if err := a.tend(ctx); err != nil {
		return err
	}
	o := guard.Order{What: fullyOpen, By: caller(), Time: every, Repeat: true}
	if ruleset != "" {
		var err error
		if o.What, err = filepath.Abs(ruleset); err != nil {
			return err
		}
	}
	if err := a.armSafetynet(ctx, o); err != nil {
		return err
	}
	status := a.watchStatus(safetynetWatch)
	return a.print(safetynetDocument{control.Version, status}, func(w *writer) { w.safetynet(status) })
}

func (a *app) armSafetynet(ctx context.Context, o guard.Order) error {
	w := a.watch(safetynetWatch)
	_, err := w.Arm(o, func(dir string) error { return saveRuleset(ctx, o, dir) })
	if errors.Is(err, guard.ErrArmed) {
		return errors.New("a safety net is on already: moonlatch safetynet status shows it, moonlatch safetynet off ends it")
	}
	if err != nil {
		return guardError(fmt.Errorf("no safety net: %w", err))
	}
	if err := w.Start(ctx, a.watchdogArgs(safetynetWatch)...); err != nil {
		return errors.Join(fmt.Errorf("no safety net: %w", err), w.Disarm())
	}
	return nil
}

// saveRuleset stores what a ruleset file really gives. Without one it only makes
// sure that a reset is possible.
func saveRuleset(ctx context.Context, o guard.Order, dir string) error {
	t, err := foreign.Find(ctx)
	if err != nil {
		return err
	}
	defer t.Close()
	if o.What == fullyOpen {
		_, err := t.Verify(ctx)
		return err
	}
	s, err := t.Parse(ctx, o.What)
	if err != nil {
		return err
	}
	return s.Save(filepath.Join(dir, snapshotFile))
}

// loadSafetynet makes the watchdog's work of a stored ruleset, or of none.
func (a *app) loadSafetynet(dir string) (guard.Try, error) {
	t, err := foreign.Find(context.Background())
	if err != nil {
		return nil, err
	}
	s, err := foreign.Load(filepath.Join(dir, snapshotFile))
	if errors.Is(err, fs.ErrNotExist) {
		return func(ctx context.Context) (string, error) { return a.open(ctx, t) }, nil
	}
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) { return a.putRuleset(ctx, t, s) }, nil
}

// open opens the machine, and asks the kernel whether it is open.
func (a *app) open(ctx context.Context, t *foreign.Tools) (string, error) {
	if err := a.overOurs(ctx, func() error { return t.Open(ctx) }); err != nil {
		return "", err
	}
	r, err := t.Verify(ctx)
	if err != nil {
		return "", err
	}
	if !r.Open {
		return "", fmt.Errorf("%s of other programs still filter", count(len(r.Filtering()), "table"))
	}
	return "the kernel confirms that everything passes", nil
}

// putRuleset makes the machine's rules those of the stored ruleset.
func (a *app) putRuleset(ctx context.Context, t *foreign.Tools, s *foreign.Snapshot) (string, error) {
	if err := a.overOurs(ctx, func() error { return t.Restore(ctx, s) }); err != nil {
		return "", err
	}
	r, err := t.Verify(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the ruleset is in force; the kernel tells of %s that filter", count(len(r.Filtering()), "table")), nil
}

// resetPatience is how long a daemon may take to reset: one that hangs is done without.
const resetPatience = 5 * time.Second

// forgetPatience is how long a reset without the daemon may take to strike bans off the record.
const forgetPatience = 3 * time.Second

// How long a daemon may take to hear that ours are to be gone: at first, and when everybody's rules have been changed.
const (
	firstHearing  = time.Second
	secondHearing = 3 * time.Second
)

// overOurs runs put, which changes everybody's rules, when it is known that ours are to be gone, so that no daemon, now
// or later, brings them back. One that hangs does not hold that up: put is run, and again when the daemon has had more time.
func (a *app) overOurs(ctx context.Context, put func() error) error {
	if a.resetOurs(ctx, firstHearing) == nil {
		return put()
	}
	if put() == nil {
		a.resetOurs(ctx, secondHearing)
	}
	return put()
}

// resetOurs takes ours away by way of the daemon, or of the store where none runs. If that fails they go with all
// other rules, all the same.
func (a *app) resetOurs(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := a.firewall(ctx)
	if err != nil {
		return err
	}
	_, err = s.Reset(ctx)
	if c, ok := s.(io.Closer); ok { // a watchdog runs for weeks
		c.Close()
	}
	return err
}

func (a *app) safetynetOffCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "off",
		Short:   "Switch the safety net off: what filters now stays",
		Long:    "Off ends the resets of \"moonlatch safetynet\".",
		Example: `  moonlatch safetynet off`,
		RunE: func(c *cobra.Command, _ []string) error {
			w := a.watch(safetynetWatch)
			if err := a.tend(c.Context()); err != nil {
				return err
			}
			o, err := w.End()
			if errors.Is(err, guard.ErrNone) {
				return &control.Error{Code: control.NotFound, Message: "no safety net is on"}
			}
			if err != nil {
				return guardError(fmt.Errorf("switch the safety net off: %w", err))
			}
			if _, err := await(c.Context(), w, o); err != nil {
				return fmt.Errorf("the safety net is off, but its watchdog has not said so: %w", err)
			}
			doc := safetynetDocument{control.Version, a.watchStatus(safetynetWatch)}
			return a.print(doc, func(w *writer) { w.linef("the safety net is off: what filters now stays") })
		},
	}
}

func (a *app) safetynetStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show whether a safety net is on, and when it resets next",
		Long:    "Status shows what the safety net resets to, when it does so next, and what came of the last time.",
		Example: `  moonlatch safetynet status`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.tend(c.Context()); err != nil {
				return err
			}
			status := a.watchStatus(safetynetWatch)
			return a.print(safetynetDocument{control.Version, status}, func(w *writer) { w.safetynet(status) })
		},
	}
}

// safetynetDocument is a safety net as JSON.
type safetynetDocument struct {
	APIVersion string `json:"apiVersion"`
	watchStatus
}

func (w *writer) safetynet(s watchStatus) {
	rows := safetynetRows(s)
	if rows == nil {
		rows = []string{"safety net\toff"}
	}
	w.table(rows)
}
