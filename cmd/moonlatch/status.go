package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what is in force, what is on trial and for how long",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			status, err := s.Status(c.Context())
			if err != nil {
				return err
			}
			return a.print(status, func(w *writer) { w.status(status) })
		},
	}
}

func (w *writer) status(s control.Status) {
	rows := []string{"in force\t" + inForce(s), "confirmed\t" + generation(s.Confirmed)}
	if s.Trial != nil {
		rows = append(rows, fmt.Sprintf("on trial\t%s, %s left: moonlatch confirm, or moonlatch rollback", generation(s.Trial), seconds(s.Left)))
	}
	if s.Note != "" {
		rows = append(rows, "note\t"+s.Note)
	}
	w.table(append(rows, daemonRows(s.Daemon)...))
}

func inForce(s control.Status) string {
	switch s.State {
	case control.Trying:
		return fmt.Sprintf("generation %d, on trial", s.Trial.Number)
	case control.Filtering:
		return fmt.Sprintf("generation %d, confirmed", s.Confirmed.Number)
	}
	return "nothing: everything passes"
}

func daemonRows(d *control.DaemonStatus) []string {
	if d == nil {
		return []string{"daemon\tnot running: no detectors, handlers or timers (moonlatch run)"}
	}
	rows := []string{
		fmt.Sprintf("daemon\tpid %d, up %s", d.PID, time.Since(d.Since).Round(time.Second)),
		fmt.Sprintf("events\t%d received, %d lost", d.Events, d.Lost),
		fmt.Sprintf("bans\t%d in force", d.Bans),
	}
	for _, c := range d.Callbacks {
		state := fmt.Sprintf("%d hits", c.Hits)
		if c.Kind != "detector" {
			state = fmt.Sprintf("%d calls", c.Hits)
		}
		if c.Off {
			state += ", SWITCHED OFF because it kept failing: see the log, then apply the policy again"
		}
		rows = append(rows, strings.Join([]string{c.Kind, fmt.Sprintf("%s (%s): %s", c.Name, c.Place, state)}, "\t"))
	}
	return rows
}

func (a *app) resetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reset",
		Short: "Open the firewall now: take every rule and ban of Moonlatch out of the kernel",
		Long: `Reset takes every generation and every ban of Moonlatch out of the kernel, then asks the
kernel whether they are gone. Tables of other programs are not touched. The
confirmed generation stays on disk: a reboot or "moonlatch restore" brings it back.`,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			r, err := s.Reset(c.Context())
			if err != nil {
				return err
			}
			if err := a.print(r, func(w *writer) { w.reset(r) }); err != nil {
				return err
			}
			if !r.Open {
				return &control.Error{Code: control.Failed, Message: "the kernel still holds rules or bans of ours: run moonlatch reset again"}
			}
			return nil
		},
	}
}

func (w *writer) reset(r control.ResetResult) {
	w.linef("removed %s and %s", count(len(r.Generations), "generation"), count(r.Bans, "ban"))
	if r.Open {
		w.linef("the kernel confirms: no rule or ban of Moonlatch is left, everything passes")
	}
	if r.Boot != 0 {
		w.linef("generation %d is still the confirmed one on disk: moonlatch restore, or a reboot, brings it back", r.Boot)
	}
}
