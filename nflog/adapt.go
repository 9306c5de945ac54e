package nflog

import (
	"math/bits"
	"time"
)

// An adaptive threshold follows the packet rate: a batch shall hold what arrives
// within gatherTime or half of it, where no timer tick comes before. Below
// smallestBatch that saves too little to have packets wait for it, above
// largestBatch it saves no more.
const (
	gatherTime    = 6 * time.Millisecond
	smallestBatch = 24
	largestBatch  = 256
)

// The threshold grows with the rate of one window, and shrinks only when all
// windows for as long as shrinkAfter were low. Growing hurries, since a flood may
// fill the receive buffer; shrinking has time, so that bursts do not have the
// threshold go up and down with each.
const (
	shortestWindow = 20 * time.Millisecond
	shrinkAfter    = 200 * time.Millisecond
)

// follower has the threshold follow the packet rate, which it measures in windows.
// Times are since Open.
type follower struct {
	start   time.Duration // of the window
	packets uint64        // before the window
	high    time.Duration // when the rate last called for the threshold, or more
	peak    uint32        // the most that it called for since
}

// adapt has the threshold follow the packet rate. It is called after every read,
// and when none came for as long as shrinkAfter while the threshold is above 1.
func (r *Reader) adapt() {
	if !r.tuner.adaptive.Load() {
		return
	}
	packets := r.stats.events.Load() + r.stats.lost.Load()
	current := r.tuner.current.Load()
	next, measured := r.follower.next(current, time.Since(r.opened), packets)
	if !measured {
		return
	}
	if next != current && r.tuner.follow(next) {
		r.stats.tunings.Add(1)
	}
	if next > 1 {
		r.lookUp(time.Now().Add(shrinkAfter))
	}
}

// next returns the threshold that should come after the current one, where there
// were so many packets by now, unless the window is too short to tell.
func (f *follower) next(current uint32, now time.Duration, packets uint64) (threshold uint32, measured bool) {
	elapsed := now - f.start
	if elapsed < shortestWindow {
		return 0, false
	}
	threshold = thresholdFor(packets-f.packets, elapsed, current)
	f.start, f.packets = now, packets
	if threshold < current {
		f.peak = max(f.peak, threshold)
		if now-f.high < shrinkAfter {
			return current, true
		}
		threshold = f.peak
	}
	f.high, f.peak = now, 0
	return threshold, true
}

// thresholdFor returns the threshold for a rate of packets within elapsed. The
// current one will do for rates from a half to the double of its own, so that a
// rate which sways does not have it sway.
func thresholdFor(packets uint64, elapsed time.Duration, current uint32) uint32 {
	batch := uint32(min(packets*uint64(gatherTime)/uint64(elapsed), largestBatch))
	switch {
	case current/2 <= batch && batch < 2*current:
		return current
	case batch < smallestBatch/2, batch < smallestBatch && current == 1:
		return 1
	}
	return max(smallestBatch, uint32(1)<<(bits.Len32(batch)-1))
}

// follow tells the kernel an adaptive threshold. If that fails, the next window
// brings another try.
func (t *tuner) follow(threshold uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.adaptive.Load() && t.tell(tuning{threshold, t.timeout}) == nil
}

// lookUp has a read that waits give up at the given time, if that is not zero. It
// fails on a closed socket only, as the next read does.
func (r *Reader) lookUp(at time.Time) { _ = r.conn.SetReadDeadline(at) }
