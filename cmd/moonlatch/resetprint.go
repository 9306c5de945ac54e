package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"moonlatch/engine/foreign"
)

// resetReport tells people what a reset of everybody's rules did, or would do.
func (w *writer) resetReport(r resetReport) {
	if r.Ours != nil {
		w.linef("removed %s and %s of Moonlatch", count(len(r.Ours.Generations), "generation"), count(r.Ours.Bans, "ban"))
		if r.Ours.Note != "" {
			w.linef("note: %s", r.Ours.Note)
		}
	}
	switch {
	case len(r.Tables) == 0:
		w.linef("no program has rules in the kernel")
	case r.DryRun:
		w.linef("would take away:")
	default:
		w.linef("took away:")
	}
	w.tables(r.Tables)
	w.untouched(r)
	for _, t := range r.Left {
		if r.DryRun {
			w.linef("would go on filtering: %s", left(t))
		} else {
			w.linef("STILL FILTERS: %s", left(t))
		}
	}
	for _, p := range r.Problems {
		w.linef("PROBLEM: %s", p)
	}
	if !r.DryRun && r.Open {
		w.linef("the kernel confirms: nothing filters, every packet passes")
	}
	w.comesBack(r)
}

// tables writes a line for each table.
func (w *writer) tables(tables []foreign.Table) {
	var rows []string
	for _, t := range tables {
		name := t.Name
		if t.Tool == "nft" {
			name = t.Family + " " + t.Name
		}
		content := fmt.Sprintf("%s, %s", count(t.Chains, "chain"), count(t.Rules, "rule"))
		if t.Sets > 0 {
			content += fmt.Sprintf(", %s with %s", count(t.Sets, "set"), count(t.Elements, "element"))
		}
		rows = append(rows, strings.Join([]string{"  " + t.Tool, name, content, strings.Join(t.Hooks, ", ")}, "\t"))
	}
	w.table(rows)
}

// left says why a table is still there.
func left(t foreign.Table) string {
	s := fmt.Sprintf("%s table %s %s", t.Tool, t.Family, t.Name)
	if t.Owner != 0 {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", t.Owner)) // it may be gone by now
		s += fmt.Sprintf(": only its owner can take it away, process %d %s: stop that", t.Owner, strings.TrimSpace(string(name)))
	}
	return s
}

// untouched says what a reset leaves alone, and what else goes with the rules.
func (w *writer) untouched(r resetReport) {
	if slices.ContainsFunc(r.Tables, func(t foreign.Table) bool { return t.NAT && t.Rules > 0 }) {
		w.linef("address translation (NAT) goes with its tables: containers and machines behind this one may lose the network")
	}
	if len(r.IPSets) > 0 {
		w.linef("left alone: ipsets %s, which filter nothing without rules", strings.Join(r.IPSets, ", "))
	}
	state := map[bool]string{true: "on, so without rules this machine forwards everything", false: "off"}
	w.linef("left alone: forwarding and every other sysctl; IPv4 forwarding is %s; IPv6 forwarding is %s", state[r.Forwarding["IPv4"]], state[r.Forwarding["IPv6"]])
}

// comesBack says what brings rules back.
func (w *writer) comesBack(r resetReport) {
	for _, o := range r.Origins {
		switch {
		case o.Running && o.Enabled:
			w.linef("comes back: %s is running and may put rules in place at any time, and at boot: systemctl disable --now %s", o.Service, o.Service)
		case o.Running:
			w.linef("comes back: %s is running and may put rules in place at any time: systemctl stop %s", o.Service, o.Service)
		default:
			w.linef("comes back: %s puts its rules in place at boot: systemctl disable %s", o.Service, o.Service)
		}
	}
	if r.Ours != nil && r.Ours.Boot != 0 {
		w.linef("comes back: generation %d of Moonlatch is still the confirmed one on disk: moonlatch restore, or a reboot, brings it back", r.Ours.Boot)
	}
	if r.Snapshot != "" {
		w.linef("to bring it all back now: moonlatch reset --undo")
	}
}
