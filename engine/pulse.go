package engine

import (
	"context"
	"sync/atomic"
)

// pulse tells whether a goroutine still gets round to its work. It costs the
// goroutine a look at a flag.
type pulse struct {
	asked atomic.Bool
	felt  chan struct{} // holds the answer
}

func newPulse() *pulse { return &pulse{felt: make(chan struct{}, 1)} }

// beat is called by the goroutine, each time round.
func (p *pulse) beat() {
	if p.asked.Load() && p.asked.CompareAndSwap(true, false) {
		select {
		case p.felt <- struct{}{}:
		default: // the one that asked last has given up before its answer came
		}
	}
}

// feel waits for the goroutine's next beat, or until ctx ends. wake has to end
// whatever the goroutine may be waiting for. One at a time may feel a pulse.
func (p *pulse) feel(ctx context.Context, wake func()) bool {
	select {
	case <-p.felt: // an answer that came too late
	default:
	}
	p.asked.Store(true)
	wake()
	select {
	case <-p.felt:
		return true
	case <-ctx.Done():
		return false
	}
}
