package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what is in force, what is on trial and for how long",
		Long: `Status shows which policy filters, whether one is on trial and how long that lasts, whether somebody
else has changed the rules, and what the daemon does. It works without a daemon, too.`,
		Example: `  moonlatch status
  moonlatch status -o json`,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.service(c.Context())
			if err != nil {
				return err
			}
			status, err := s.Status(c.Context())
			if err != nil {
				return err
			}
			doc := a.statusDocument(status)
			if feeds, err := s.Feeds(c.Context()); err == nil { // what is in force matters more
				doc.Feeds = failing(feeds.Feeds)
			}
			return a.print(doc, func(w *writer) { w.status(doc) })
		},
	}
}

// statusDocument is the status with what watchdogs are about to do.
type statusDocument struct {
	control.Status
	Guard     watchStatus `json:"guard"`
	Safetynet watchStatus `json:"safetynet"`

	Feeds []control.Feed `json:"failing_feeds,omitempty"` // that were not updated when they were asked for last
}

// failing are the feeds that were not updated.
func failing(all []control.Feed) []control.Feed {
	return slices.DeleteFunc(all, func(f control.Feed) bool { return f.Error == "" })
}

func (a *app) statusDocument(s control.Status) statusDocument {
	return statusDocument{Status: s, Guard: a.watchStatus(guardWatch), Safetynet: a.watchStatus(safetynetWatch)}
}

func (w *writer) status(doc statusDocument) {
	s := doc.Status
	rows := []string{"in force\t" + inForce(s), "confirmed\t" + generation(s.Confirmed)}
	if s.Trial != nil {
		rows = append(rows, "on trial\t"+generation(s.Trial),
			fmt.Sprintf("\t%s %s left of %s: moonlatch confirm, extend or rollback", bar(s.Left, s.Length, barWidth), seconds(s.Left), seconds(s.Length)))
	}
	if s.Note != "" {
		rows = append(rows, "note\t"+s.Note)
	}
	rows = append(rows, guardRows(doc.Guard)...)
	rows = append(rows, safetynetRows(doc.Safetynet)...)
	if len(doc.Feeds) > 0 {
		var names []string
		for _, f := range doc.Feeds {
			names = append(names, f.Name)
		}
		rows = append(rows, "feeds\tNOT UPDATED: "+strings.Join(names, ", ")+" (moonlatch feeds says why); the last good copies stay in force")
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

// lease says how the liveness lease stands, and why it is not renewed.
func lease(l *control.Liveness) string {
	text := fmt.Sprintf("%s left of %s", seconds(l.Left), seconds(l.Lease))
	if !l.OpenSince.IsZero() {
		text = fmt.Sprintf("RAN OUT at %s (it is %s): everything passes", l.OpenSince.Local().Format(time.TimeOnly), seconds(l.Lease))
	}
	switch {
	case l.Failing != "":
		text += fmt.Sprintf("; NOT RENEWED since %s: %s", l.FailingSince.Local().Format(time.TimeOnly), l.Failing)
	case !l.Looked.IsZero():
		text += fmt.Sprintf("; all was well %s ago", time.Since(l.Looked).Round(time.Second))
	}
	return text
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
	if d.Liveness != nil {
		rows = append(rows, "lease\t"+lease(d.Liveness))
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
