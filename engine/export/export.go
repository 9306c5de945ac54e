// Package export writes what happens to where other tools read it: a file of JSON lines, or a syslog server.
package export

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"moonlatch/engine/feed"
)

// How long an output that fails is left alone: from one to the other, doubling.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
)

// sink takes items. An error means that the item was not taken.
type sink interface {
	write(it *feed.Item) error
	Close() error
}

// Output takes items from the feed to a sink. It never delays who publishes: what a sink
// cannot take is dropped, the oldest first, and counted.
type Output struct {
	name string
	hub  *feed.Hub
	sink sink
	log  *slog.Logger
	keep bool // try an item again, rather than drop it

	sent, failed, missed atomic.Uint64
}

// String implements engine.Task.
func (o *Output) String() string { return o.name }

// Stats are the running totals.
func (o *Output) Stats() []feed.OutputStats {
	return []feed.OutputStats{{Name: o.name, Sent: o.sent.Load(), Failed: o.failed.Load(), Dropped: o.missed.Load()}}
}

// Run writes what happens until ctx ends. A sink that fails is no error of the daemon's.
func (o *Output) Run(ctx context.Context) error {
	defer o.sink.Close()
	s := o.hub.Subscribe(feed.Filter{}, 0)
	defer s.Close()
	for failing := false; ; {
		it, err := s.Next(ctx)
		if err != nil {
			return nil
		}
		o.missed.Store(s.Missed())
		failing = o.take(ctx, s, &it, failing)
	}
}

// take writes one item, and reports whether the sink fails.
func (o *Output) take(ctx context.Context, s *feed.Subscription, it *feed.Item, failing bool) bool {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := o.sink.write(it)
		if err == nil {
			o.sent.Add(1)
			if failing {
				o.log.Info("output works again", "output", o.name, "failed", o.failed.Load(), "dropped", o.missed.Load())
			}
			return false
		}
		o.failed.Add(1)
		if !failing {
			o.log.Error("output fails: what it cannot take is dropped", "output", o.name, "error", err)
		}
		failing = true
		if !o.keep {
			return true
		}
		select {
		case <-ctx.Done():
			return true
		case <-time.After(pause):
		}
		o.missed.Store(s.Lag())
	}
}
