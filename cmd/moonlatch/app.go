package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/control"
)

// The default places, as the Filesystem Hierarchy Standard has them.
const (
	defaultState  = "/var/lib/moonlatch"
	defaultSocket = "/run/moonlatch/control.sock"
)

// helpWidth is how many columns the texts of --help take at most.
const helpWidth = 100

// app is one run of the command: its flags and where it writes.
type app struct {
	out, err io.Writer
	state    string
	socket   string
	output   string
	verbose  bool

	asked  string           // the command line, for the record
	looks  bool             // it changes nothing
	direct *engine.Firewall // what the command works on without a daemon
}

// command is the root of the command tree.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "moonlatch",
		Short: "A host firewall scripted in Lua that cannot lock its owner out",
		Long: `Moonlatch runs your firewall from a Lua policy. A new policy is on trial until you
confirm it: if you do not, because it locked you out, the kernel itself brings
the old one back, even with every Moonlatch process dead.

Try it first, without root and without risk:   moonlatch demo

Exit codes: 0 ok, 1 failure, 2 usage, 3 invalid policy, 4 daemon unreachable,
5 not permitted, 6 differences found, 7 rolled back.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          help,
		PersistentPreRunE: func(c *cobra.Command, args []string) error {
			name := strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
			a.asked, a.looks = strings.Join(append([]string{name}, args...), " "), slices.Contains(looks, name)
			return errors.Join(a.checkOutput(c), a.absolute())
		},
	}
	root.SuggestionsMinimumDistance = 2
	flags := root.PersistentFlags()
	flags.StringVar(&a.state, "state", defaultState, "state `directory`: confirmed and past generations")
	flags.StringVar(&a.socket, "socket", defaultSocket, "control socket of the daemon")
	flags.StringVarP(&a.output, "output", "o", "text", "`format` of what is printed: text or json")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "log more to standard error")
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{err, c.CommandPath()}
	})
	root.AddCommand(
		a.runCommand(), a.initCommand(), a.checkCommand(), a.testCommand(), a.traceCommand(), a.consoleCommand(), a.planCommand(), a.applyCommand(), a.confirmCommand(), a.extendCommand(), a.rollbackCommand(), a.restoreCommand(),
		a.webCommand(), a.guardCommand(), a.safetynetCommand(), a.watchdogCommand(),
		a.replayCommand(), a.explainCommand(), a.shadowCommand(),
		a.statusCommand(), a.banCommand(), a.unbanCommand(), a.bansCommand(), a.protectCommand(), a.feedsCommand(), a.historyCommand(), a.topCommand(), a.resetCommand(), a.eventsCommand(), a.notifyCommand(), a.logLevelCommand(),
		a.demoCommand(), a.demoInsideCommand(), a.versionCommand(), a.manCommand(), a.insideCommand(), a.testInsideCommand(), a.traceInsideCommand(), a.replayInsideCommand(),
	)
	explainUsage(root.Commands())
	a.addCompletions(root)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", helpWidth)))
	return root
}

// help is what the root does by itself: anything behind it is no command.
func help(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	hint := ""
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf(" (did you mean %q?)", near[0])
	}
	return usageError{fmt.Errorf("unknown command %q%s", args[0], hint), c.CommandPath()}
}

// explainUsage has every command of a tree complain of its arguments alike.
func explainUsage(commands []*cobra.Command) {
	for _, c := range commands {
		c.Args = usage(c.Args)
		explainUsage(c.Commands())
	}
}

// usage makes a complaint about arguments one about usage.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	if check == nil {
		check = cobra.NoArgs
	}
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%w: %s", err, c.UseLine()), c.CommandPath()}
		}
		return nil
	}
}

// What a command can print beside text and documents, if its annotation moreOutputs says so.
const (
	moreOutputs = "outputs"
	outputCSV   = "csv"
	outputTable = "table" // another word for text
)

func (a *app) checkOutput(c *cobra.Command) error {
	more := strings.Fields(c.Annotations[moreOutputs])
	if a.output != "text" && a.output != "json" && !slices.Contains(more, a.output) {
		known := []string{`"text"`, `"json"`}
		for _, m := range more {
			known = append(known, strconv.Quote(m))
		}
		return usageError{fmt.Errorf("--output is %s, not %q", strings.Join(known, " or "), a.output), c.CommandPath()}
	}
	return nil
}

// service is the daemon where one runs, and otherwise the firewall itself.
func (a *app) service(ctx context.Context) (control.Service, error) {
	if err := a.tend(ctx); err != nil {
		fmt.Fprintln(a.err, "moonlatch:", err) // no reason to refuse what would open the firewall, say
	}
	return a.firewall(ctx)
}

func (a *app) firewall(ctx context.Context) (control.Service, error) {
	client, err := control.Dial(ctx, a.socket)
	switch {
	case err == nil:
		return client, nil
	case errors.Is(err, control.ErrSilent) && a.looks:
		fmt.Fprintf(a.err, "moonlatch: %v: this is what the kernel and the disk tell\n", err)
	case !errors.Is(err, control.ErrNoDaemon):
		return nil, silent(err)
	}
	f, failed := a.engine(ctx)
	return f, a.needsRoot(failed)
}

// silent says what to do about a daemon that does not answer.
func silent(err error) error {
	if !errors.Is(err, control.ErrSilent) {
		return err
	}
	return &control.Error{Code: control.Unreachable, Message: fmt.Sprintf(
		"%v, and nothing was changed: end it with kill -9, and commands work without it; moonlatch reset works at once", err)}
}

// needsRoot says to an ordinary user why nobody answers, and what to do.
func (a *app) needsRoot(err error) error {
	var told *control.Error
	if os.Geteuid() == 0 || !errors.As(err, &told) || told.Code != control.NotPermitted {
		return err
	}
	return &control.Error{Code: control.NotPermitted, Message: fmt.Sprintf(
		"no daemon listens on %s, and without one only root may see or change the firewall and what is on record in %s: use sudo (%s)", a.socket, a.state, told.Message)}
}

// engine is the firewall itself.
func (a *app) engine(ctx context.Context) (*engine.Firewall, error) {
	f, err := engine.Open(ctx, engine.Config{State: a.state, Log: a.quietLog()})
	a.direct = f
	return f, err
}

// looks are the commands that change nothing.
var looks = []string{"status", "bans", "bans export", "history", "top", "plan", "explain", "trace", "protect list", "feeds"}

// close ends what the command did without a daemon, and records it as a daemon would have.
func (a *app) close(outcome error) {
	if a.direct == nil {
		return
	}
	if !a.looks {
		a.direct.Audited(control.Call{UID: os.Getuid(), PID: os.Getpid(), Command: a.asked, Err: outcome})
	}
	if err := a.direct.Close(); err != nil {
		a.quietLog().Debug("closing", "error", err)
	}
}

// quietLog is the log of a command that prints its own results.
func (a *app) quietLog() *slog.Logger {
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
}

// caller says who runs the command, for the record.
func caller() string {
	if u := os.Getenv("SUDO_USER"); u != "" {
		return u + " (sudo)"
	}
	if u := os.Getenv("USER"); u != "" {
		return u
	}
	if u, err := user.Current(); err == nil { // a service has no such variable
		return u.Username
	}
	return "unknown"
}
