package store

import (
	"os"
	"sync/atomic"
	"time"
)

// counters are running totals.
type counters struct {
	written   atomic.Uint64
	dropped   atomic.Uint64
	uncounted atomic.Uint64
	failed    atomic.Uint64
	setAside  atomic.Uint64
	batches   atomic.Uint64
	busy      atomic.Int64 // nanoseconds
	failing   atomic.Pointer[string]
}

// Stats is a snapshot. All but Queued, Size and Failing are running totals since Open.
type Stats struct {
	Written   uint64        // records that are in the database
	Dropped   uint64        // records that found the queue full
	Uncounted uint64        // packet events that came too fast to be counted
	Failed    uint64        // attempts to write that failed; what they were to write is tried again
	SetAside  uint64        // databases that were set aside
	Batches   uint64        // transactions
	Busy      time.Duration // what they took together
	Queued    int           // records that wait
	Size      int64         // bytes on disk
	Failing   string        // why the latest attempt to write failed, "" if it did not
}

// Stats returns what the Store has done.
func (s *Store) Stats() Stats {
	c := &s.counters
	out := Stats{
		Written: c.written.Load(), Dropped: c.dropped.Load(), Uncounted: c.uncounted.Load(), Failed: c.failed.Load(),
		SetAside: c.setAside.Load(), Batches: c.batches.Load(), Busy: time.Duration(c.busy.Load()), Queued: s.queue.length(),
	}
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(s.path + suffix); err == nil {
			out.Size += info.Size()
		}
	}
	if why := c.failing.Load(); why != nil {
		out.Failing = *why
	}
	return out
}
