package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/export"
	"moonlatch/engine/notify"
)

// outputFlags say where else the daemon tells what happens.
type outputFlags struct{ file, syslog, notify string }

func (f *outputFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.file, "events-file", "", "append what happens to `file`, packets too, as JSON lines; it may be rotated at any time")
	c.Flags().StringVar(&f.notify, "notify", "", "tell people what happens, as this `file` says: see docs/observing.md")
	c.Flags().StringVar(&f.syslog, "syslog", "", "send what happens to a syslog `server`: udp://HOST:514, tcp://HOST:514, or unix for this machine's own")
}

// outputs adds to the daemon what the flags ask for.
func (f *outputFlags) outputs(d *engine.Daemon, log *slog.Logger) error {
	if f.file != "" {
		o, err := export.File(d.Feed(), f.file, log)
		if err != nil {
			return err
		}
		d.AddOutput(o)
	}
	if f.notify != "" {
		c, err := notify.Read(f.notify)
		if err != nil {
			return err
		}
		d.SetTargets(c.Names())
		d.AddOutput(notify.New(c, d.Feed(), log))
	}
	if f.syslog != "" {
		o, err := export.Syslog(d.Feed(), f.syslog, log)
		if err != nil {
			return usageError{err, "moonlatch run"}
		}
		d.AddOutput(o)
	}
	return nil
}
