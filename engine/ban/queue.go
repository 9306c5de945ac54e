package ban

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"moonlatch/engine/nft"
)

// maxBatch is how many requests Run takes at once.
const maxBatch = 1024

// sweepEvery is how often Run forgets bans that have ended.
const sweepEvery = 5 * time.Second

// pending is how long the queued requests want to ban each target.
type pending struct {
	mu    sync.Mutex
	times map[target]time.Duration
}

// add reports whether the request is worth queueing: none for its target that asks for as long is queued already.
func (p *pending) add(t target, d time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.times == nil {
		p.times = make(map[target]time.Duration)
	}
	if p.times[t] >= d {
		return false
	}
	p.times[t] = d
	return true
}

func (p *pending) remove(t target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.times, t)
}

// Submit queues a request for Run, and never waits: it is for the packet path. It
// reports false if nothing will come of the request, because the queue is full, the
// target protected or the request invalid, which Stats tells apart. A duplicate
// costs a look-up and counts as done.
func (b *Book) Submit(r Request) bool {
	r, err := r.normal()
	if err != nil {
		b.counters.suppressed(SuppressedInvalid)
		return false
	}
	if b.guarded.Load().all.OverlapsPrefix(r.Target) {
		b.counters.suppressed(SuppressedProtected)
		return false
	}
	t, d := targetOf(r.Target), r.longest()
	now := b.clock()
	if _, there, ok := b.index.covering(t, now); ok && there.until()-now >= d-d/10 || !b.pending.add(t, d) {
		b.counters.suppressed(SuppressedDuplicate)
		return true
	}
	select {
	case b.queue <- r:
		return true
	default:
		b.pending.remove(t)
		b.counters.suppressed(SuppressedQueueFull)
		return false
	}
}

// Run carries out what Submit queues until ctx ends: at once when it is idle, and as
// many requests in one transaction as have come meanwhile when it is busy. Then it
// returns nil, after what is queued. What the kernel refuses is tried again for a
// second, unless there is no point in it, as when there is no room. In the
// background it adopts the bans of hosts that the kernel holds.
func (b *Book) Run(ctx context.Context) error {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	b.startAdoption(ctx)
	for {
		select {
		case <-ctx.Done():
			b.Flush(context.WithoutCancel(ctx))
			return nil
		case <-sweep.C:
			expired, n := b.index.sweep(b.clock(), maxNamed)
			b.ended(expired, n, UnbannedExpired)
			b.held.end(b.cfg.Now())
			b.startAdoption(ctx) // it may have failed
		case r := <-b.queue:
			b.take(ctx, r)
		}
	}
}

// Flush carries out what is queued. It is for those that do not call Run.
func (b *Book) Flush(ctx context.Context) {
	for {
		select {
		case r := <-b.queue:
			b.take(ctx, r)
		default:
			return
		}
	}
}

// take carries out a request together with those that wait behind it.
func (b *Book) take(ctx context.Context, first Request) {
	batch := []Request{first}
	seen := map[netip.Prefix]bool{first.Target: true}
	for len(batch) < maxBatch {
		select {
		case r := <-b.queue:
			if seen[r.Target] { // it wants a longer ban than the first one for its target
				b.bookQueued(ctx, batch)
				batch, seen = nil, make(map[netip.Prefix]bool)
			}
			batch = append(batch, r)
			seen[r.Target] = true
		default:
			b.bookQueued(ctx, batch)
			return
		}
	}
	b.bookQueued(ctx, batch)
}

// bookQueued carries requests out, trying again what may succeed later. When ctx ends, it tries for the last time.
func (b *Book) bookQueued(ctx context.Context, requests []Request) {
	for wait := 10 * time.Millisecond; len(requests) > 0; wait *= 10 {
		last := wait > time.Second || ctx.Err() != nil
		var again []Request
		for _, d := range b.carryOut(context.WithoutCancel(ctx), requests, false) {
			if mayPass(d.err) && !last {
				again = append(again, d.request)
				continue
			}
			b.pending.remove(targetOf(d.request.Target))
			b.finish(d)
			if b.cfg.Failed != nil && isRefusal(d.err) {
				b.cfg.Failed(d.request, d.err)
			}
		}
		if requests = again; len(again) > 0 {
			b.counters.retried()
			sleep(ctx, wait)
		}
	}
}

// isRefusal reports whether the kernel, not the book, refused a ban.
func isRefusal(err error) bool {
	return err != nil && (reason(err) == SuppressedKernel || reason(err) == SuppressedSetFull)
}

// mayPass reports whether it makes sense to try again.
func mayPass(err error) bool {
	if !isRefusal(err) {
		return false
	}
	for _, permanent := range []error{nft.ErrFull, nft.ErrPermission, nft.ErrUnsupported, nft.ErrNoBinary} {
		if errors.Is(err, permanent) {
			return false
		}
	}
	return true
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
