package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"moonlatch/engine/lab"
	"moonlatch/engine/replay"
)

// replayed shows a report to people.
func (w *writer) replayed(path string, r *replay.Report) {
	w.linef("%s: %s in %s of %s, %.0f/s", path, count(r.Packets, "packet"), length(r.Last.Sub(r.First)), r.First.Local().Format(time.DateTime), r.Rate)
	w.linef("host %s (%s)", addressList(r.Hosts.Addresses), r.Hosts.By)
	for _, why := range slices.Sorted(maps.Keys(r.Skipped)) {
		w.linef("not played: %d, %s", r.Skipped[why], why)
	}
	if r.Late > 0 {
		w.linef("%s had an earlier time than one before", count(r.Late, "packet"))
	}
	if r.Differences != nil {
		w.compared(r)
		return
	}
	w.outcome(r, r.Policy)
}

// addressList shows addresses; most hosts have few.
func addressList(all []netip.Addr) string {
	if len(all) == 0 {
		return "unknown"
	}
	var out []string
	for i, a := range all {
		if i == shown {
			out = append(out, fmt.Sprintf("and %d more", len(all)-shown))
			break
		}
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}

// outcome shows what a policy made of the capture.
func (w *writer) outcome(r *replay.Report, o replay.Outcome) {
	w.linef("")
	w.linef("%s would have made %s", o.Name, count(o.BanCount, "ban"))
	for _, b := range o.Bans {
		w.linef("  %s", banLine(r, b))
	}
	if more := o.BanCount - len(o.Bans); more > 0 {
		w.linef("  and %d more", more)
	}
	for _, s := range o.Spared {
		w.linef("  spared: %s, %s by %s, packet %d%s", s.Target, s.Why, s.By, s.First, times(s))
	}
	for _, f := range o.Failures {
		w.linef("  failed: %s", f)
	}
	if more := o.Failed - len(o.Failures); more > 0 {
		w.linef("  and %d more failures of callbacks", more)
	}
	w.detectors(o.Detectors)
	w.verdicts(o.Verdicts)
}

func times(s replay.Spared) string {
	if s.Times == 1 {
		return ""
	}
	return fmt.Sprintf(" and %d times more, until packet %d", s.Times-1, s.Last)
}

// banLine shows a ban: whom, when, for how long, by whom and why.
func banLine(r *replay.Report, b replay.Ban) string {
	by := b.By
	if b.Place != "" {
		by += " (" + b.Place + ")"
	}
	return fmt.Sprintf("%s at %s (+%s, packet %d) for %s by %s: %s",
		b.Target, b.At.Local().Format(time.DateTime), length(b.At.Sub(r.First)), b.Packet, length(b.Until.Sub(b.At)), by, b.Why)
}

// length shows a time span as short as it can be read.
func length(d time.Duration) string {
	if d >= time.Minute {
		d = d.Round(time.Second)
	} else {
		d = d.Round(time.Millisecond)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (w *writer) detectors(all []replay.Detector) {
	if len(all) == 0 {
		return
	}
	w.linef("")
	rows := []string{"DETECTOR\tEVENTS\tHITS\tOF\tFIRST\tLAST\tPLACE"}
	clock := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.Local().Format(time.DateTime)
	}
	for _, d := range all {
		rows = append(rows, fmt.Sprintf("%s\t%d\t%d\t%s\t%s\t%s\t%s", d.Name, d.Events, d.Hits, count(d.Keys, "source"), clock(d.First), clock(d.Last), d.Place))
	}
	w.table(rows)
}

func (w *writer) verdicts(all []replay.Verdict) {
	if len(all) == 0 {
		return
	}
	w.linef("")
	rows := []string{"PACKETS\tVERDICT\tBY\tPLACE"}
	for _, v := range all {
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s\t%s", v.Packets, v.Verdict, decidedBy(v), v.Place))
	}
	w.table(rows)
}

// decidedBy names what decided.
func decidedBy(v replay.Verdict) string {
	switch {
	case v.Rule == lab.ByBan:
		return "a ban"
	case v.Rule == lab.ByTrap:
		return "a trap"
	case v.Verdict == lab.Lost:
		return "the kernel: no route, no possible sender, or a fragment that waits for the others"
	case v.Chain == "":
		return "no chain of the policy"
	case v.Rule == "":
		return v.Chain
	case v.Rule == lab.ByPolicy:
		return v.Chain + ": its policy"
	}
	return fmt.Sprintf("%s %q", authored(v.Chain), v.Rule)
}

// compared shows how two policies differ.
func (w *writer) compared(r *replay.Report) {
	d, a, b := r.Differences, r.Policy.Name, r.Against.Name
	w.linef("")
	if !d.Any() {
		w.linef("%s and %s make the same of it: %s, and every packet's verdict", a, b, count(r.Policy.BanCount, "ban"))
		return
	}
	for _, x := range d.Only {
		w.linef("- only %s bans %s", a, banLine(r, x))
	}
	for _, x := range d.Missing {
		w.linef("+ only %s bans %s", b, banLine(r, x))
	}
	for _, m := range d.Moved {
		w.linef("~ both ban %s, otherwise", m.Target)
		for _, x := range m.Bans {
			w.linef("    - %s", banLine(r, x))
		}
		for _, x := range m.Other {
			w.linef("    + %s", banLine(r, x))
		}
	}
	for _, c := range d.Verdicts {
		w.linef("~ %s: %s by %s, with %s %s by %s", count(c.Packets, "packet"), c.Was.Verdict, decidedBy(c.Was), b, c.Is.Verdict, decidedBy(c.Is))
		w.linef("    such as packet %d, %s", c.Number, c.Example)
	}
}
