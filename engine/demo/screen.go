package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen shows the demo to a person: at a pace and with colours on a terminal,
// and as plain text anywhere else. It shows nothing where out is nil.
type screen struct {
	out     io.Writer
	paced   bool
	colours bool
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.paced = true
		s.colours = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return s
}

// The ANSI attributes in use.
const (
	bold  = "1"
	dim   = "2"
	green = "32"
	red   = "31"
)

func (s *screen) paint(attribute, text string) string {
	if !s.colours {
		return text
	}
	return "\x1b[" + attribute + "m" + text + "\x1b[0m"
}

// line writes a line. That the reader has gone away ends nothing here: the
// report is what counts.
func (s *screen) line(format string, args ...any) {
	if s.out != nil {
		fmt.Fprintf(s.out, format+"\n", args...)
	}
}

// title opens a part.
func (s *screen) title(text string) {
	const width = 72
	s.line("\n%s %s", s.paint(bold, "── "+text), s.paint(dim, strings.Repeat("─", max(0, width-utf8.RuneCountInString(text)))))
}

// command shows a command and what it printed.
func (s *screen) command(printed string, arg ...string) {
	s.line("   %s", s.paint(bold, "$ moonlatch "+strings.Join(arg, " ")))
	for l := range strings.Lines(printed) {
		s.line("     %s", s.paint(dim, strings.TrimSuffix(l, "\n")))
	}
}

// fact shows one thing that was measured.
func (s *screen) fact(what, format string, args ...any) {
	s.line("   %-34s %s", what, fmt.Sprintf(format, args...))
}

// pause lets a person read.
func (s *screen) pause(ctx context.Context, d time.Duration) {
	if s.paced {
		sleep(ctx, d)
	}
}

// promises shows what was promised, what was measured and whether it held.
func (s *screen) promises(list []Promise) {
	for _, p := range list {
		verdict := s.paint(green, "held")
		if !p.Held {
			verdict = s.paint(red, "BROKEN")
		}
		s.line("   %-38s %-31s %s", p.Text, p.Measured, verdict)
	}
}
