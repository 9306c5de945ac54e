package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress reads a file and shows on a terminal how far it has come.
type progress struct {
	io.Reader
	out   io.Writer // nil where nobody looks
	read  int64
	size  int64
	start time.Time
	shown time.Time
}

func (a *app) progress(f *os.File) *progress {
	p := &progress{Reader: f, start: time.Now()}
	if info, err := f.Stat(); err == nil {
		p.size = info.Size()
	}
	if e, ok := a.err.(*os.File); ok && isTerminal(e) && a.output == "text" {
		p.out = e
	}
	return p
}

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.read += int64(n)
	return n, err
}

const progressWidth = 30

// show draws the bar, ten times a second.
func (p *progress) show(packets int, at time.Time) {
	now := time.Now()
	if p.out == nil || now.Sub(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown = now
	done := 0.0
	if p.size > 0 {
		done = min(float64(p.read)/float64(p.size), 1)
	}
	full := int(done * progressWidth)
	rate := float64(packets) / now.Sub(p.start).Seconds()
	fmt.Fprintf(p.out, "\r\x1b[K[%s%s] %3.0f%%  %d packets, %.0f/s, at %s",
		strings.Repeat("#", full), strings.Repeat(".", progressWidth-full), 100*done, packets, rate, at.Local().Format(time.DateTime))
}

// clear takes the bar away.
func (p *progress) clear() {
	if p.out != nil && !p.shown.IsZero() {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
