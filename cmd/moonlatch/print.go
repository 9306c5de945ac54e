package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"moonlatch/engine/control"
)

// print writes a result: as JSON, or as text writes it for people.
func (a *app) print(result any, text func(*writer)) error {
	if a.output == "json" {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(result)
	}
	w := &writer{out: a.out}
	text(w)
	return w.err
}

// say writes text for people, and nothing where a document will follow.
func (a *app) say(text func(*writer)) error {
	if a.output == "json" {
		return nil
	}
	return a.print(nil, text)
}

// writer writes lines for people and remembers the first failure.
type writer struct {
	out io.Writer
	err error
}

func (w *writer) linef(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.out, format+"\n", args...)
	}
}

// table writes aligned columns; the cells of a row are separated by tabs.
func (w *writer) table(rows []string) {
	t := tabwriter.NewWriter(w.out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, r)
	}
	if err := t.Flush(); w.err == nil {
		w.err = err
	}
}

// count is a number of things, in words: 1 ban, 2 bans, 2 addresses.
func count(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "s"):
		thing += "e"
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// seconds shows a number of seconds as a duration.
func seconds(s float64) string { return span(time.Duration(s * float64(time.Second))) }

// span shows a duration: 59m58s, and from two days on by days and hours, 6d23h.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	if d < 2*day {
		return d.Round(time.Second).String()
	}
	d = d.Round(time.Hour)
	if rest := d % day; rest > 0 {
		return fmt.Sprintf("%dd%dh", d/day, rest/time.Hour)
	}
	return fmt.Sprintf("%dd", d/day)
}

func generation(g *control.Generation) string {
	if g == nil {
		return "none"
	}
	s := fmt.Sprintf("%d", g.Number)
	if g.Policy != "" {
		s += fmt.Sprintf(" (%s, applied %s by %s)", g.Policy, g.Applied.Local().Format(time.DateTime), g.By)
	}
	return s
}
