package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/foreign"
	"moonlatch/engine/guard"
	"moonlatch/engine/nft"
)

// How long a guard may wait for its confirm.
const (
	shortestGuard = time.Second
	longestGuard  = 24 * time.Hour
)

// snapshotFile is what a watch's payload folder holds.
const snapshotFile = "snapshot"

func (a *app) guardCommand() *cobra.Command {
	limit := duration(time.Minute)
	c := &cobra.Command{
		Use:   "guard [--for 60s] -- COMMAND [ARGUMENT]…",
		Short: "Run a command that changes the firewall: unless you confirm, its rules are undone",
		Long: `Guard takes a snapshot of everything that filters on this machine, whoever made it: every
table of nf_tables, the older iptables and ip6tables, and ipsets. Then it runs
COMMAND, for instance "ufw enable" or "iptables-restore new.rules". Run "moonlatch
confirm" in time, best from a new connection. Otherwise a watchdog process brings
the rules of before back; "moonlatch rollback" does so at once, and so does a
COMMAND that fails.

The watchdog has a session of its own: it outlives this command, the terminal and
the login. Files that COMMAND writes are not undone: only the kernel's rules are.

The exit code is COMMAND's; 7 if its time ran out before it ended well.`,
		Example: "  moonlatch guard -- ufw enable\n  moonlatch guard --for 5m -- nft -f new.nft",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.guard(c.Context(), time.Duration(limit), args)
		},
	}
	c.Flags().Var(&limit, "for", "how long to wait for the confirm")
	c.Flags().SetInterspersed(false) // the command's own flags are its own
	return c
}

func (a *app) guard(ctx context.Context, limit time.Duration, args []string) error {
	if limit < shortestGuard || limit > longestGuard {
		return usageError{fmt.Errorf("--for %s: a guard lasts from %s to %s", model.Duration(limit),
			model.Duration(shortestGuard), model.Duration(longestGuard)), "moonlatch guard"}
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return fmt.Errorf("the command cannot be run, and nothing was changed: %w", err)
	}
	if err := a.tend(ctx); err != nil {
		return err
	}
	if err := a.noTrial(); err != nil {
		return err
	}
	o, err := a.armGuard(ctx, limit, args)
	if err != nil {
		return err
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return a.runGuarded(ctx, o, cmd)
}

// noTrial refuses a guard beside a trial: one confirm would mean two things. It
// changes nothing, not even to make the core table.
func (a *app) noTrial() error {
	g, err := engine.OnTrial(a.state)
	if err != nil {
		return err
	}
	if g != nil {
		return &control.Error{Code: control.Failed, Message: fmt.Sprintf(
			"generation %d is on trial: confirm it or roll it back first; nothing was changed", g.Number)}
	}
	return nil
}

// armGuard takes the snapshot and starts the watchdog over it.
func (a *app) armGuard(ctx context.Context, limit time.Duration, args []string) (guard.Order, error) {
	w := a.watch(guardWatch)
	o := guard.Order{What: strings.Join(args, " "), By: caller(), Time: limit}
	o, err := w.Arm(o, func(dir string) error { return saveSnapshot(ctx, dir) })
	if errors.Is(err, guard.ErrArmed) {
		return o, fmt.Errorf("another guard is armed: moonlatch confirm or moonlatch rollback ends it; nothing was changed")
	}
	if err != nil {
		return o, guardError(fmt.Errorf("no guard, and nothing was changed: %w", err))
	}
	if err := w.Start(ctx, a.watchdogArgs(guardWatch)...); err != nil {
		w.Disarm()
		return o, fmt.Errorf("no guard, and nothing was changed: %w", err)
	}
	return o, nil
}

// guardError tells whoever may not change the firewall so by the exit code.
func guardError(err error) error {
	switch {
	case errors.Is(err, nft.ErrPermission):
		return &control.Error{Code: control.NotPermitted, Message: err.Error()}
	case errors.Is(err, fs.ErrPermission):
		return &control.Error{Code: control.NotPermitted, Message: err.Error() + ": use sudo, or name a folder of yours with --state"}
	}
	return err
}

func saveSnapshot(ctx context.Context, dir string) error {
	t, err := foreign.Find(ctx)
	if err != nil {
		return err
	}
	defer t.Close()
	s, err := t.Take(ctx)
	if err != nil {
		return err
	}
	return s.Save(filepath.Join(dir, snapshotFile))
}

// loadGuard makes the watchdog's work of a snapshot.
func (a *app) loadGuard(dir string) (guard.Try, error) {
	t, err := foreign.Find(context.Background())
	if err != nil {
		return nil, err
	}
	s, err := foreign.Load(filepath.Join(dir, snapshotFile))
	if err != nil {
		// It was read once already, by a watchdog that is dead now. Locking the owner
		// out for good would be worse than to open.
		return func(ctx context.Context) (string, error) {
			return fmt.Sprintf("everything passes, because the snapshot cannot be read: %v", err), t.Open(ctx)
		}, nil
	}
	// Ours stay as they are unless the command has changed them: bans made meanwhile are kept.
	ours := func(t nft.Table) bool { return engine.OurTable(t.Name) }
	return func(ctx context.Context) (string, error) {
		return "the rules of before are back", engine.PutBack(ctx, a.state, func() error { return t.RestoreAround(ctx, s, ours) })
	}, nil
}

// runGuarded runs the command and says what became of the guard meanwhile.
func (a *app) runGuarded(ctx context.Context, o guard.Order, cmd *exec.Cmd) error {
	say := &writer{out: a.err}
	say.linef("moonlatch: guard armed: unless you confirm, the rules of now are back at %s", endOf(o))
	// Caught, not ignored: the command would inherit that.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	defer signal.Stop(signals)
	// Nothing comes between this look and the command: whatever stopped this process, or killed
	// the watchdog, has done so before.
	if err := a.watch(guardWatch).Watched(o); err != nil {
		return a.notRun(ctx, o, err)
	}
	if err := cmd.Start(); err != nil {
		return a.reportGuarded(o, err, a.undo(ctx, o))
	}
	over := make(chan guard.Result, 1)
	go func() {
		if r, err := a.attend(context.WithoutCancel(ctx), o); err == nil {
			over <- r
		}
	}()
	ran := make(chan error, 1)
	go func() { ran <- wait(cmd, signals) }()
	var failure error
	select {
	case failure = <-ran:
	case r := <-over:
		say.linef("moonlatch: %s; %q still runs, and is left alone", guardNews(r), o.What)
		return a.reportGuarded(o, <-ran, &r)
	}
	select {
	case r := <-over:
		return a.reportGuarded(o, failure, &r)
	default:
	}
	if failure == nil {
		return a.reportGuarded(o, nil, nil)
	}
	return a.reportGuarded(o, failure, a.undo(ctx, o))
}

// wait waits for a command that runs on the terminal. The terminal's signals are the command's
// own: how it ends tells what to do. SIGTERM, which comes to this process alone,
// is passed on.
func wait(cmd *exec.Cmd, signals <-chan os.Signal) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			return err
		case s := <-signals:
			if s == syscall.SIGTERM {
				cmd.Process.Signal(s)
			}
		}
	}
}

// undo has the rules of before brought back now. It returns nil if the guard was
// confirmed meanwhile, and the result otherwise.
func (a *app) undo(ctx context.Context, o guard.Order) *guard.Result {
	w := a.watch(guardWatch)
	failed := func(err error) *guard.Result {
		return &guard.Result{Order: o, Outcome: guard.Failing, Tries: 1, Error: err.Error()}
	}
	_, err := w.Now()
	if err != nil && !errors.Is(err, guard.ErrNone) {
		return failed(err)
	}
	r, err := await(ctx, w, o)
	if err != nil && r.Start != o.Start {
		return failed(err)
	}
	return &r
}

// reportGuarded says how the command and its guard ended, or that the guard waits.
func (a *app) reportGuarded(o guard.Order, failure error, over *guard.Result) error {
	code := exitOf(failure)
	if err := a.printGuarded(o, code, over); err != nil {
		return err
	}
	switch {
	case failure != nil:
		return commandError{fmt.Errorf("%q failed: %w%s", o.What, failure, afterFailure(over)), code}
	case over != nil && over.Outcome != guard.Ended:
		return &control.Error{Code: control.RolledBack, Message: guardNews(*over)}
	}
	return nil
}

func afterFailure(over *guard.Result) string {
	switch {
	case over == nil:
		return ""
	case over.Outcome == guard.Ended:
		return "; its guard was confirmed meanwhile: nothing is undone"
	case over.Outcome == guard.Done:
		return "; the rules of before are back"
	}
	return fmt.Sprintf("; the rules of before are NOT back yet: %s; the watchdog goes on trying", over.Error)
}

func (a *app) printGuarded(o guard.Order, code int, over *guard.Result) error {
	doc := guardRun{APIVersion: control.Version, Exit: code}
	if over == nil {
		doc.Pending = a.pending(guardWatch)
	} else {
		doc.Result = describeResult(*over)
	}
	if a.output == "json" {
		return a.print(doc, nil)
	}
	if over != nil {
		return nil // what follows tells
	}
	w := &writer{out: a.err}
	w.linef("moonlatch: %q ended well. Confirm it, best from a new connection:  moonlatch confirm", o.What)
	w.linef("moonlatch: otherwise the rules of before are back at %s", endOf(o))
	return w.err
}

// guardRun is how a guarded command ended.
type guardRun struct {
	APIVersion string       `json:"apiVersion"`
	Exit       int          `json:"command_exit"`
	Pending    *watchOrder  `json:"pending"` // nil if the guard is over
	Result     *watchResult `json:"result"`  // how it ended; nil while it waits for a confirm
}

// endOf is the time of day at which an order's time comes.
func endOf(o guard.Order) string {
	left, err := o.Left()
	if err != nil {
		return "its deadline"
	}
	return time.Now().Add(left).Format(time.TimeOnly)
}

// exitOf is the exit code that a shell would show for a command.
func exitOf(failure error) int {
	var exit *exec.ExitError
	switch {
	case failure == nil:
		return exitOK
	case !errors.As(failure, &exit):
		return exitFailure
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal())
	}
	return exit.ExitCode()
}
