package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/policytest"
)

// explanation is all that is printed of an address.
type explanation struct {
	control.Explanation
	History []control.Entry `json:"history"` // the latest first: bans and unbans
	Traces  []engine.Trace  `json:"traces,omitempty"`
}

func (a *app) explainCommand() *cobra.Command {
	traced := false
	c := &cobra.Command{
		Use:   "explain ADDRESS|PREFIX",
		Short: "Tell all that is known of an address: bans and why, protection, sets, rules",
		Long: `Explain tells whether an address is banned, by whom, why and for how long, whether it is
protected, in which of the policy's sets it is and which rules name it, and its country and
network where the policy's fw.geo names databases. What the detectors saw is known as long
as the daemon runs that made the ban; the rest needs no daemon.

With --trace it also tells what becomes of a new TCP connection of the address to each port
that a program listens on here, the first ` + fmt.Sprint(mostTraced) + ` of them: packets that are sent in a private
namespace, as moonlatch trace does.`,
		Example: `  moonlatch explain 203.0.113.9
  moonlatch explain --trace 2001:db8::7`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeBanned,
		RunE:              func(c *cobra.Command, args []string) error { return a.explain(c.Context(), args[0], traced) },
	}
	c.Flags().BoolVar(&traced, "trace", false, "tell what becomes of its connections to the ports that are listened on")
	return c
}

func (a *app) explain(ctx context.Context, target string, traced bool) error {
	s, err := a.service(ctx)
	if err != nil {
		return err
	}
	doc := explanation{History: []control.Entry{}}
	if doc.Explanation, err = s.Explain(ctx, control.ExplainRequest{Target: target}); err != nil {
		return err
	}
	past, err := s.History(ctx, control.HistoryRequest{Target: target, Kinds: []string{"ban", "unban"}, Limit: pastShown})
	doc.History = append(doc.History, past...)
	if traced && doc.Generation != nil {
		var failed error
		doc.Traces, failed = a.knocks(ctx, doc.Target)
		err = errors.Join(err, failed)
	}
	return errors.Join(err, a.print(doc, func(w *writer) {
		w.explained(doc.Explanation, time.Now())
		w.knocks(doc.Traces)
		w.past(past)
		if !traced && !strings.Contains(doc.Target, "/") {
			w.linef("moonlatch explain --trace %s shows what its connections to this host's ports meet.", doc.Target)
		}
	}))
}

// mostTraced is how many ports are tried. It is fewer than what a detector of scans bans for.
const mostTraced = 5

// knocks sends a TCP SYN of an address to the ports that are listened on.
func (a *app) knocks(ctx context.Context, target string) ([]engine.Trace, error) {
	if strings.Contains(target, "/") {
		return nil, usageError{fmt.Errorf("--trace takes an address, and %s is a prefix", target), "moonlatch explain"}
	}
	all, err := listeners()
	if err != nil {
		return nil, err
	}
	req := engine.TraceRequest{State: a.state}
	if req.Packet, err = policytest.Packet(map[string]string{"src": target, "tcp": "1"}); err != nil {
		return nil, err
	}
	for _, l := range all {
		if l.proto == "tcp" && len(req.Ports) < mostTraced {
			req.Ports = append(req.Ports, l.port)
		}
	}
	if len(req.Ports) == 0 {
		return nil, nil
	}
	return a.traces(ctx, req)
}

// knocks says what became of packets.
func (w *writer) knocks(all []engine.Trace) {
	for _, t := range all {
		w.linef("%s: %s%s", t.Packet, t.Verdict, because(t))
	}
}

// pastShown is how many bans and unbans of the past are told.
const pastShown = 10

// past says what was before, the latest first.
func (w *writer) past(all []control.Entry) {
	for _, e := range all {
		what := "banned"
		if e.Kind == "unban" {
			what = "unbanned"
		}
		w.linef("%s: %s %s by %s: %s", e.Time.Local().Format(time.DateTime), e.Target, what, cmp.Or(e.By, "the book"), cmp.Or(e.Why, "no reason given"))
	}
}

// explained says it in sentences.
func (w *writer) explained(e control.Explanation, now time.Time) {
	if at := location(e.Location); at != "" {
		w.linef("%s is of %s.", e.Target, at)
	}
	for _, p := range e.Protected {
		w.linef("%s is protected by %s%s: it can never be banned.", e.Target, p.By, as(e.Target, p.Target))
	}
	for _, b := range e.Bans {
		w.linef("%s", banSentence(e.Target, b, now))
	}
	if len(e.Bans) == 0 {
		w.linef("%s is not banned.", e.Target)
	} else if len(e.Protected) > 0 {
		w.linef("It passes all the same, because it is protected.")
	}
	for _, s := range e.Sets {
		left := ""
		if s.Left > 0 {
			left = fmt.Sprintf(", for another %s", seconds(s.Left))
		}
		if s.Set == "trap" {
			w.linef("It is in a trap%s%s: everything from it is dropped.", as(e.Target, s.Element), left)
			continue
		}
		w.linef("It is in the set %q%s%s.", s.Set, as(e.Target, s.Element), left)
	}
	for _, r := range e.Rules {
		w.linef("Rule %q of chain %s names it as %s: %s", r.Rule, r.Chain, r.By, r.Text)
	}
	switch {
	case e.Generation == nil:
		w.linef("No generation is in force.")
	case len(e.Sets)+len(e.Rules) == 0:
		w.linef("No set and no rule of generation %d (%s) names it.", e.Generation.Number, e.Generation.Policy)
	}
}

// location is where an address is, as "DE, AS64500 (Example Net)".
func location(at control.Location) string {
	words := []string{}
	if at.Country != "" {
		words = append(words, at.Country)
	}
	if at.ASN != 0 {
		words = append(words, strings.TrimSuffix(fmt.Sprintf("AS%d (%s)", at.ASN, at.Network), " ()"))
	}
	return strings.Join(words, ", ")
}

// as names the element that holds a target, if it is not the target itself.
func as(target, element string) string {
	if target == element {
		return ""
	}
	return " (as part of " + element + ")"
}

// banSentence says who is banned, until when, by whom and why.
func banSentence(target string, b control.BanReason, now time.Time) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s is banned", target)
	if b.Target != target {
		s.WriteString(as(target, b.Target))
	}
	switch {
	case b.Until.IsZero():
		s.WriteString(" for good")
	default:
		fmt.Fprintf(&s, " until %s (%s left)", b.Until.Local().Format(time.DateTime), seconds(b.Until.Sub(now).Seconds()))
	}
	if !b.Since.IsZero() {
		fmt.Fprintf(&s, ", since %s,", b.Since.Local().Format(time.DateTime))
	}
	switch {
	case b.By == "manual":
		s.WriteString(" by hand")
	case b.Place != "":
		fmt.Fprintf(&s, " by detector %s of %s", b.By, b.Place)
	default:
		s.WriteString(" by " + b.By)
	}
	if why := cmp.Or(evidenceOf(b.Evidence), b.Why); why != "" {
		s.WriteString(": " + why)
	}
	return s.String() + "."
}

// shownPorts is how many ports are shown of the evidence.
const shownPorts = 8

// evidenceOf shows what a detector counted, "" where it is not known.
func evidenceOf(e *control.BanEvidence) string {
	if e == nil {
		return ""
	}
	list := []string{}
	for _, p := range e.Ports {
		list = append(list, fmt.Sprint(p))
	}
	if e.Of != "ports" {
		list = slices.Clone(e.Addrs)
	}
	more := ""
	if len(list) > shownPorts {
		list, more = list[:shownPorts], ", …"
	}
	what := fmt.Sprintf("%d %s in %s", e.Count, e.Of, length(e.Last.Sub(e.First)))
	if len(list) > 0 {
		what += " (" + strings.Join(list, ", ") + more + ")"
	}
	return what + ", the last at " + e.Last.Local().Format(time.TimeOnly)
}
