package detect

import "sync/atomic"

// Stats are running totals since New, but for Tracked and Capacity.
type Stats struct {
	Events   uint64 // packets observed
	Skipped  uint64 // of these, without what the count needs: source, time, port
	Excepted uint64 // of these, from sources in Spec.Except
	Hits     uint64
	Evicted  uint64 // sources forgotten while their window ran, for want of room
	Tracked  int    // sources held; includes those whose window has run out until their place is needed
	Capacity int    // sources that can be held
}

type counters struct {
	events, skipped, excepted, hits, evicted atomic.Uint64
	tracked                                  atomic.Int64
}

// Stats may be called from any goroutine.
func (d *Detector) Stats() Stats {
	return Stats{
		Events:   d.stats.events.Load(),
		Skipped:  d.stats.skipped.Load(),
		Excepted: d.stats.excepted.Load(),
		Hits:     d.stats.hits.Load(),
		Evicted:  d.stats.evicted.Load(),
		Tracked:  int(d.stats.tracked.Load()),
		Capacity: len(d.table.heads),
	}
}
