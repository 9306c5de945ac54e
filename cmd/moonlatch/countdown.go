package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// countdown shows how much of a trial is left: on a terminal as one line that is
// drawn anew, anywhere else as a line now and then.
type countdown struct {
	out      io.Writer
	terminal *os.File // nil where out is none
	colours  bool
	said     int // how many of the marks have passed
}

// marks are when a line is written where there is no terminal.
var marks = [...]time.Duration{
	12 * time.Hour, 6 * time.Hour, 3 * time.Hour, time.Hour, 30 * time.Minute, 15 * time.Minute,
	5 * time.Minute, 2 * time.Minute, time.Minute, 30 * time.Second, 10 * time.Second, 5 * time.Second,
}

// newCountdown is one on standard error, beside errors as documents only on a terminal.
func (a *app) newCountdown() *countdown {
	c := &countdown{out: a.err}
	if f, ok := a.err.(*os.File); ok && isTerminal(f) {
		c.terminal, c.colours = f, os.Getenv("NO_COLOR") == ""
	} else if a.output == "json" {
		c.out = io.Discard
	}
	return c
}

// isTerminal reports whether a file is a terminal on which a line can be drawn anew.
func isTerminal(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// show shows what is left of a trial of a length, both in seconds.
func (c *countdown) show(what string, left, length float64) {
	if c.terminal == nil {
		c.say(what, left)
		return
	}
	text := fmt.Sprintf(" %s left of %s", seconds(left), seconds(length))
	room := barWidth
	if width, _, err := term.GetSize(int(c.terminal.Fd())); err == nil && width > 0 {
		what = what[:min(len(what), max(0, width-len(text)-1))]
		room = min(barWidth, width-len(what)-len(text)-4)
	}
	fmt.Fprintf(c.out, "\r%s %s%s\x1b[K", what, c.paint(bar(left, length, room), left), text)
}

// say writes a line when a mark has been passed since the last one.
func (c *countdown) say(what string, left float64) {
	passed := 0
	for passed < len(marks) && left <= marks[passed].Seconds() {
		passed++
	}
	if passed != c.said {
		fmt.Fprintf(c.out, "%s: %s left\n", what, seconds(left))
		c.said = passed
	}
}

// end leaves the line behind, so that others can follow.
func (c *countdown) end() {
	if c.terminal != nil {
		fmt.Fprint(c.out, "\r\x1b[K")
	}
}

// paint warns by colour, where colours are wanted.
func (c *countdown) paint(text string, left float64) string {
	const red, yellow = "31", "33"
	switch {
	case !c.colours, left > 30:
		return text
	case left > 10:
		return "\x1b[" + yellow + "m" + text + "\x1b[0m"
	}
	return "\x1b[" + red + "m" + text + "\x1b[0m"
}

// barWidth is how many characters a bar has where there is room.
const barWidth = 30

// bar draws what is left of a whole; it is empty only when nothing is left, and
// is nothing at all where there is no room.
func bar(left, whole float64, width int) string {
	if width < 1 {
		return ""
	}
	full := 0
	if left > 0 && whole > 0 {
		full = min(width, max(1, int(left/whole*float64(width)+0.5)))
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat("-", width-full) + "]"
}
