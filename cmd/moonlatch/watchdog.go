package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine/guard"
)

// The watches of a state directory.
const (
	guardWatch     = "guard"     // brings the rules of before back
	safetynetWatch = "safetynet" // resets again and again
)

func (a *app) watch(name string) *guard.Watch { return guard.At(a.state, name) }

// watchdogArgs are the arguments that make this program a watchdog.
func (a *app) watchdogArgs(name string, more ...string) []string {
	return append([]string{"--state", a.state, "--socket", a.socket, "watchdog", name}, more...)
}

func (a *app) watchdogCommand() *cobra.Command {
	var standby bool
	c := &cobra.Command{
		Use:       "watchdog NAME",
		Short:     "Be the process that moonlatch guard or safetynet leaves behind",
		Hidden:    true,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{guardWatch, safetynetWatch},
		RunE: func(_ *cobra.Command, args []string) error {
			load := map[string]guard.Load{guardWatch: a.loadGuard, safetynetWatch: a.loadSafetynet}[args[0]]
			second := a.watchdogArgs(args[0], "--standby")
			if standby {
				return a.watch(args[0]).Standby(load, second...)
			}
			return a.watch(args[0]).Keep(load, second...)
		},
	}
	c.Flags().BoolVar(&standby, "standby", false, "take over when the one on duty dies")
	return c
}

// absolute makes the state's and the socket's path good for a process that works elsewhere.
func (a *app) absolute() error {
	var err error
	if a.state, err = filepath.Abs(a.state); err != nil {
		return err
	}
	a.socket, err = filepath.Abs(a.socket)
	return err
}

// undoPatience is how long a command waits for a watchdog that is at work. The
// watchdog goes on after that.
const undoPatience = 30 * time.Second

// tend finishes what a watchdog left undone that was killed, or that did not
// outlive the machine. Whoever may not see the state has nothing to finish.
func (a *app) tend(ctx context.Context) error {
	for _, name := range []string{guardWatch, safetynetWatch} {
		w := a.watch(name)
		o, late, err := w.Ensure(ctx, a.watchdogArgs(name)...)
		if errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the pending %s: %w", name, err)
		}
		if !late {
			continue
		}
		r, err := await(ctx, w, o)
		if err != nil {
			return fmt.Errorf("the pending %s: %w", name, err)
		}
		fmt.Fprintln(a.err, "moonlatch:", guardNews(r))
	}
	return nil
}

// await waits for the result of an order whose time has come or that was called off.
func await(ctx context.Context, w *guard.Watch, o guard.Order) (guard.Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
	defer cancel()
	return w.Await(ctx, o)
}
