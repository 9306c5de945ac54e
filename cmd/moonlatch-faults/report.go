package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

const apiVersion = "moonlatch/v1"

// report is what a run has come to.
type report struct {
	APIVersion string         `json:"apiVersion"`
	Seed       uint64         `json:"seed"`
	Seconds    float64        `json:"seconds"`
	Lives      int            `json:"lives"`
	Steps      int            `json:"steps"`
	Faults     int            `json:"faults"`
	Injected   map[string]int `json:"injected"`
	Operations map[string]int `json:"operations"`
	Bursts     int            `json:"bursts_of_probes"`
	LockedOut  int            `json:"bursts_locked_out"`
	HeldUp     int            `json:"bursts_held_up"`
	Promises   []held         `json:"promises"`
	Broken     []account      `json:"broken"`
	Unjudged   []account      `json:"unjudged,omitempty"`
	Failures   []string       `json:"failures,omitempty"`
}

// held is how often a promise was checked, and how often it was broken.
type held struct {
	Promise promise `json:"promise"`
	Checked int     `json:"checked"`
	Broken  int     `json:"broken"`
}

func (r *run) report() report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := report{
		APIVersion: apiVersion, Seed: r.seed, Seconds: time.Since(r.began).Seconds(), Lives: r.lives, Steps: r.played, Faults: r.sum(),
		Injected: r.injected, Operations: r.operations, Bursts: r.bursts, LockedOut: r.lockOuts, HeldUp: r.slow, Broken: r.accounts, Unjudged: r.unjudged,
	}
	for _, p := range promises() {
		checked := r.checks[p]
		if p == wrongPolicy || p == halfApplied {
			checked = r.bursts // each of them is held against what may be in force at its time
		}
		out.Promises = append(out.Promises, held{p, checked, r.broken[p]})
	}
	for _, err := range r.failures {
		out.Failures = append(out.Failures, err.Error())
	}
	return out
}

// progress shows how far the run is, until ctx ends: a bar on a terminal, and a line now and then elsewhere.
func (r *run) progress(ctx context.Context, w *os.File) {
	every, end := 5*time.Second, "\n"
	if term.IsTerminal(int(w.Fd())) {
		every, end = 300*time.Millisecond, "\r"
		defer fmt.Fprintln(w)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.mu.Lock()
			n, broken, unjudged, lives := r.sum(), len(r.accounts), len(r.unjudged), r.lives
			r.mu.Unlock()
			fmt.Fprintf(w, "%s %5d of %d faults, %3d lives, %d broken, %d not judged, %4.0f s%s", bar(n, r.faults), n, r.faults, lives, broken, unjudged, time.Since(r.began).Seconds(), end)
		}
	}
}

func bar(n, of int) string {
	const width = 24
	done := width * min(n, of) / max(of, 1)
	return "[" + strings.Repeat("#", done) + strings.Repeat(".", width-done) + "]"
}

// print shows the report as a table.
func (r report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%-64s %9s\n", "faults injected", "")
	for _, name := range faultNames() {
		fmt.Fprintf(w, "  %-62s %9d\n", name, r.Injected[name])
	}
	fmt.Fprintf(w, "%-64s %9s\n", "commands run meanwhile", "")
	for _, name := range slices.Sorted(maps.Keys(r.Operations)) {
		fmt.Fprintf(w, "  %-62s %9d\n", name, r.Operations[name])
	}
	fmt.Fprintf(w, "%-64s %9s %9s\n", "promises", "checked", "broken")
	broken := 0
	for _, h := range r.Promises {
		fmt.Fprintf(w, "  %-62s %9d %9d\n", h.Promise, h.Checked, h.Broken)
		broken += h.Broken
	}
	for _, a := range slices.Concat(r.Unjudged, r.Broken) {
		a.print(w)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(w, "this program failed: %s\n", f)
	}
	fmt.Fprintf(w, "\n%d faults in %d steps of %d lives, %d promises broken, %d lives could not be judged; %d bursts of probes, %d of them locked out, %d held up by a busy machine; %.0f s; seed %d\n",
		r.Faults, r.Steps, r.Lives, broken, len(r.Unjudged), r.Bursts, r.LockedOut, r.HeldUp, r.Seconds, r.Seed)
}

func (a account) print(w io.Writer) {
	verb := "broke"
	if a.Busy != "" {
		verb = "could not be judged, since on a busy machine " + a.Busy + "; it seems to have broken"
	}
	fmt.Fprintf(w, "\nlife %d %s %d promises, first: %s: %s\n", a.Life, verb, len(a.Violations), a.Violations[0].Promise, a.Violations[0].What)
	for _, line := range a.Trace[max(0, len(a.Trace)-40):] {
		fmt.Fprintf(w, "  %s\n", line)
	}
	if a.Log != "" {
		fmt.Fprintf(w, "  the daemon's log ends with:\n%s\n", a.Log)
	}
	fmt.Fprintf(w, "  the same faults at the same instants again: %s\n", a.Again)
}

func (r report) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
