package main

import (
	"fmt"
	"sync"
	"time"
)

// tooLong is from how long a delay on the machine may look like a broken promise: half of what is
// granted beyond a deadline.
const tooLong = bound / 2

// slowdown is how much longer than a packet a command may take that nothing is in the way of: it takes
// tens of milliseconds on an idle machine, and a big policy some hundreds.
const slowdown = 4

// delays are the times for which a busy machine has held this program, packets or commands up.
type delays struct {
	mu   sync.Mutex
	list []delay
}

type delay struct {
	at     time.Time // when it was over
	lasted time.Duration
	what   string
}

// add takes note of a delay, if it matters.
func (d *delays) add(lasted time.Duration, what string) {
	if lasted < tooLong {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for len(d.list) > 0 && now.Sub(d.list[0].at) > time.Minute {
		d.list = d.list[1:]
	}
	if n := len(d.list); n > 0 && d.list[n-1].what == what && now.Sub(d.list[n-1].at) < tooLong {
		d.list[n-1] = delay{now, max(lasted, d.list[n-1].lasted), what} // the same one, seen again
		return
	}
	d.list = append(d.list, delay{now, lasted, what})
}

// since tells the longest delay that was not over by then, or "".
func (d *delays) since(t time.Time) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var longest delay
	for _, e := range d.list {
		if e.at.After(t) && e.lasted > longest.lasted {
			longest = e
		}
	}
	if longest.lasted == 0 {
		return ""
	}
	return fmt.Sprintf("%s was held up for %s until %s", longest.what, longest.lasted.Round(time.Millisecond), longest.at.Format("15:04:05.000"))
}
