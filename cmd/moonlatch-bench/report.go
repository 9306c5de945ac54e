package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// A report is what a run brought.
type report struct {
	APIVersion string    `json:"apiVersion"`
	Began      time.Time `json:"began"`
	Seconds    float64   `json:"seconds"`
	Machine    machine   `json:"machine"`
	Quick      bool      `json:"quick"` // sizes too small to measure anything
	Rows       []row     `json:"rows"`
}

// apiVersion names the format of the JSON.
const apiVersion = "moonlatch.bench/v1"

// machine is where it was measured.
type machine struct {
	Kernel string  `json:"kernel"`
	CPUs   int     `json:"cpus"`
	Load   float64 `json:"load"` // of the last minute before it began
}

func thisMachine() machine {
	m := machine{CPUs: runtime.NumCPU()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Sscan(string(b), &m.Load)
	}
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("Linux %s, %d CPUs, load %.1f", m.Kernel, m.CPUs, m.Load)
}

// The widths of the columns. The rest of a line is a note.
const (
	wideWhat  = 47
	wideCell  = 11
	wideRatio = 8
)

func header(out io.Writer) {
	line(out, "what", "measured", "anchor", "ratio", "budget", "held")
}

func line(out io.Writer, what, measured, anchor, ratio, budget, held string) {
	fmt.Fprintf(out, "%s %s %s %s %s  %s\n", pad(what, wideWhat, false), pad(measured, wideCell, true), pad(anchor, wideCell, true),
		pad(ratio, wideRatio, true), pad(budget, wideCell, true), held)
}

// pad fills s with spaces to so many characters; fmt counts them in runes too, but only for its own verbs' widths.
func pad(s string, width int, right bool) string {
	fill := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
	if right {
		return fill + s
	}
	return s + fill
}

// print shows a row as a line of the table.
func (r *row) print(out io.Writer) {
	if r.Finding == nil {
		line(out, r.What, "–", "", "", r.budget(), "not measured")
		return
	}
	anchor, ratio, held := "–", "–", "–"
	if r.Doubt != "" {
		held = "?     " + r.Doubt
	}
	if r.Finding.Anchor > 0 {
		anchor, ratio = quantity(r.Finding.Anchor, r.Unit), short(r.Ratio)+" ×"
	}
	if r.Held != nil {
		held = map[bool]string{true: "yes", false: "NO"}[*r.Held]
	}
	if r.Finding.Note != "" {
		held += "   " + r.Finding.Note
	}
	line(out, r.What, quantity(r.Finding.Measured, r.Unit), anchor, ratio, r.budget(), held)
}

// conclude says how many budgets held.
func (r *report) conclude(out io.Writer) {
	held, missed, untold := 0, 0, 0
	for _, row := range r.Rows {
		switch {
		case row.MaxRatio == 0 && row.Max == nil:
		case row.Held == nil:
			untold++
		case *row.Held:
			held++
		default:
			missed++
		}
	}
	fmt.Fprintf(out, "\n%d budgets held, %d did not", held, missed)
	if untold > 0 {
		fmt.Fprintf(out, ", %d could not be told", untold)
	}
	fmt.Fprintf(out, "; %.0f s; %s\n", r.Seconds, r.Machine)
	if r.Quick {
		fmt.Fprintln(out, "The sizes were so small (-quick) that none of this means anything.")
	}
}

func (r *report) write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
