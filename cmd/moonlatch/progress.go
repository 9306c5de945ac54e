package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress shows on a terminal how far long work is; anywhere else it shows nothing.
type progress struct {
	out  io.Writer // nil where it shows nothing
	next time.Time // when it draws again
}

// progressEvery is how often a progress is drawn.
const progressEvery = 100 * time.Millisecond

// newProgress is one on standard error. What takes less than progressEvery is never seen.
func (a *app) newProgress() *progress {
	p := &progress{next: time.Now().Add(progressEvery)}
	if f, ok := a.err.(*os.File); ok && isTerminal(f) {
		p.out = f
	}
	return p
}

// show shows that so many of all things are done; all is 0 where nobody knows how many there are.
func (p *progress) show(what string, done, all int) {
	if p.out == nil || time.Now().Before(p.next) {
		return
	}
	p.next = time.Now().Add(progressEvery)
	if all == 0 {
		fmt.Fprintf(p.out, "\r%s %d\x1b[K", what, done)
		return
	}
	fmt.Fprintf(p.out, "\r%s %s %d of %d\x1b[K", what, bar(float64(done), float64(all), barWidth), done, all)
}

// end leaves the line to what follows.
func (p *progress) end() {
	if p.out != nil {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
