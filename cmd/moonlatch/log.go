package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/journal"
	"moonlatch/engine/ruleset"
	"moonlatch/engine/spool"
)

// logFlags say how the daemon logs.
type logFlags struct{ format, level string }

func (f *logFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.format, "log-format", "auto", "`format` of the log: text, json, journal, or auto: journal where systemd connects standard error to it")
	c.Flags().StringVar(&f.level, "log-level", "info", "least `level` that is logged: debug, info, warn or error")
	fixed := func(words ...cobra.Completion) cobra.CompletionFunc {
		return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	}
	c.RegisterFlagCompletionFunc("log-format", fixed(logFormats()...))
	c.RegisterFlagCompletionFunc("log-level", fixed("debug", "info", "warn", "error"))
}

func logFormats() []string { return []string{"auto", "text", "json", "journal"} }

// daemonLog is the daemon's log, what its level is changed by, and where its lines wait.
type daemonLog struct {
	*slog.Logger
	level *slog.LevelVar
	spool *spool.Spool
}

// log makes the daemon's log.
func (f *logFlags) log(a *app) (daemonLog, error) {
	level := new(slog.LevelVar)
	l, err := engine.ParseLevel(f.level)
	if err != nil {
		return daemonLog{}, usageError{fmt.Errorf("--log-level: %w", err), "moonlatch run"}
	}
	if a.verbose {
		l = slog.LevelDebug
	}
	level.Set(l)
	h, err := f.handler(a, level)
	if err != nil {
		return daemonLog{}, usageError{err, "moonlatch run"}
	}
	s := spool.New(h)
	return daemonLog{slog.New(s.Handler()), level, s}, nil
}

// handler writes the log. It may block, where nobody reads what it writes.
func (f *logFlags) handler(a *app, level slog.Leveler) (slog.Handler, error) {
	options := &slog.HandlerOptions{Level: level}
	switch {
	case f.format == "journal", f.format == "auto" && journal.Wanted():
		return journal.New(level), nil
	case f.format == "json":
		return slog.NewJSONHandler(a.err, options), nil
	case f.format == "text", f.format == "auto":
		return slog.NewTextHandler(a.err, options), nil
	}
	return nil, fmt.Errorf("--log-format %q is unknown%s: it is auto, text, json or journal", f.format, ruleset.Suggest(f.format, logFormats()))
}

// levels changes the log's level: SIGUSR1 to debug, SIGUSR2 back to what it was at the start.
type levels struct {
	daemon *engine.Daemon
	start  string
}

func (levels) String() string { return "log level" }

func (l levels) Run(ctx context.Context) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-signals:
			level := l.start
			if s == syscall.SIGUSR1 {
				level = "debug"
			}
			if err := l.daemon.SetLogLevel(level); err != nil {
				return err
			}
		}
	}
}
