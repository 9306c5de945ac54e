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

// log makes the daemon's log, and what its level is changed by.
func (f *logFlags) log(a *app) (*slog.Logger, *slog.LevelVar, error) {
	level := new(slog.LevelVar)
	l, err := engine.ParseLevel(f.level)
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("--log-level: %w", err), "moonlatch run"}
	}
	if a.verbose {
		l = slog.LevelDebug
	}
	level.Set(l)
	options := &slog.HandlerOptions{Level: level}
	switch {
	case f.format == "journal", f.format == "auto" && journal.Wanted():
		return slog.New(journal.New(level)), level, nil
	case f.format == "json":
		return slog.New(slog.NewJSONHandler(a.err, options)), level, nil
	case f.format == "text", f.format == "auto":
		return slog.New(slog.NewTextHandler(a.err, options)), level, nil
	}
	return nil, nil, usageError{fmt.Errorf("--log-format %q is unknown%s: it is auto, text, json or journal", f.format, ruleset.Suggest(f.format, logFormats())), "moonlatch run"}
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
