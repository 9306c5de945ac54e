package main

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/control"
)

// historyOptions are the flags of history.
type historyOptions struct {
	since  duration
	kinds  []string
	policy string
	limit  int
}

func (a *app) historyCommand() *cobra.Command {
	o := historyOptions{since: duration(24 * time.Hour)}
	c := &cobra.Command{
		Use:   "history [ADDRESS|PREFIX]",
		Short: "Show what happened: bans, applied policies, who asked for what",
		Long: `History shows what is on record, the latest first: bans with what led to them, their
ends, policies that were applied, confirmed and rolled back, changes of the rules by
others, failures of callbacks, and who asked for what.

With an address it shows what is about it, also the bans of prefixes around it; with a
prefix also what is about the addresses in it. Packets are counted, not listed: see
moonlatch top.`,
		Example: `  moonlatch history --since 7d --kind ban,unban
  moonlatch history 203.0.113.9 --since 90d
  moonlatch history --kind audit -o json`,
		Args:        cobra.MaximumNArgs(1),
		Annotations: map[string]string{moreOutputs: outputCSV + " " + outputTable},
		RunE: func(c *cobra.Command, args []string) error {
			req := control.HistoryRequest{Kinds: o.kinds, Policy: o.policy, Limit: o.limit, Since: time.Now().Add(-time.Duration(o.since))}
			if len(args) == 1 {
				req.Target = args[0]
			}
			return a.history(c, req)
		},
	}
	flags := c.Flags()
	flags.Var(&o.since, "since", "how far back, such as 1h or 7d")
	flags.StringSliceVar(&o.kinds, "kind", nil, "only these `kinds`, such as ban,unban; there are "+strings.Join(engine.HistoryKinds(), ", "))
	flags.StringVar(&o.policy, "policy", "", "only what this policy's `file`, detector, handler or person did")
	flags.IntVarP(&o.limit, "limit", "n", 1000, "at most so many, the latest")
	// These fail only for flags that are not there.
	c.RegisterFlagCompletionFunc("since", completeDurations)
	c.RegisterFlagCompletionFunc("kind", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return engine.HistoryKinds(), cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

func (a *app) history(c *cobra.Command, req control.HistoryRequest) error {
	if req.Limit < 1 || req.Limit > control.MaxHistory {
		return usageError{fmt.Errorf("--limit is from 1 to %d", control.MaxHistory), c.CommandPath()}
	}
	s, err := a.service(c.Context())
	if err != nil {
		return err
	}
	all, err := s.History(c.Context(), req)
	if err != nil {
		return err
	}
	if a.output == outputCSV {
		return a.csv(all)
	}
	doc := struct {
		APIVersion string          `json:"apiVersion"`
		Entries    []control.Entry `json:"entries"`
	}{control.Version, slices.Clone(all)}
	if doc.Entries == nil {
		doc.Entries = []control.Entry{}
	}
	return a.print(doc, func(w *writer) { w.history(all, a.width()) })
}

func (w *writer) history(all []control.Entry, width int) {
	if len(all) == 0 {
		w.linef("nothing is on record for that")
		return
	}
	rows := [][]string{{"TIME", "KIND", "WHAT", "BY", "WHY"}}
	for _, e := range all {
		rows = append(rows, []string{e.Time.Local().Format(time.DateTime), e.Kind, what(e), by(e), why(e)})
	}
	for _, line := range columns(rows, width) {
		w.linef("%s", line)
	}
}

// what an entry is about.
func what(e control.Entry) string {
	switch {
	case e.Command != "":
		return e.Command
	case e.Target != "" && !e.Until.IsZero():
		return located(e) + " until " + shortTime(e.Until)
	case e.Target != "":
		return located(e)
	case e.Generation != 0 && e.Policy != "":
		return fmt.Sprintf("generation %d (%s)", e.Generation, e.Policy)
	case e.Generation != 0:
		return fmt.Sprintf("generation %d", e.Generation)
	}
	return e.Evidence
}

// located is an entry's target and its country.
func located(e control.Entry) string {
	if e.Country == "" {
		return e.Target
	}
	return e.Target + " (" + e.Country + ")"
}

// shortTime leaves the day out where it is today.
func shortTime(t time.Time) string {
	t = t.Local()
	if t.Format(time.DateOnly) == time.Now().Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

func by(e control.Entry) string {
	if e.UID != nil {
		return fmt.Sprintf("uid %d, pid %d", *e.UID, e.PID)
	}
	return e.By
}

func why(e control.Entry) string {
	if e.Why == "" {
		return e.Outcome
	}
	if e.Outcome != "" {
		return e.Why + " (" + e.Outcome + ")"
	}
	return e.Why
}

// csv writes entries for other programs, times as RFC 3339.
func (a *app) csv(all []control.Entry) error {
	w := csv.NewWriter(a.out)
	w.Write([]string{"id", "time", "kind", "target", "until", "origin", "by", "why", "evidence", "policy", "generation", "digest", "uid", "pid", "command", "outcome", "country", "asn"})
	for _, e := range all {
		w.Write([]string{
			strconv.FormatInt(e.ID, 10), stamp(e.Time), e.Kind, e.Target, stamp(e.Until), e.Origin, e.By, e.Why, e.Evidence, e.Policy,
			known(e.Generation), e.Digest, uid(e), known(uint64(e.PID)), e.Command, e.Outcome, e.Country, known(uint64(e.ASN)),
		})
	}
	w.Flush()
	return w.Error()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

func known(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func uid(e control.Entry) string {
	if e.UID == nil {
		return ""
	}
	return strconv.Itoa(*e.UID)
}
