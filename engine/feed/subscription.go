package feed

import (
	"context"
	"errors"
	"sync/atomic"
)

// Now is for Subscribe: only what is published from now on.
const Now uint64 = 1<<64 - 1

// ErrClosed means that the subscription was closed.
var ErrClosed = errors.New("the subscription is closed")

// batch is how many items are copied out at once, which is how long somebody
// who publishes may have to wait.
const batch = 16

// Subscription takes items out of a hub, oldest first. Who is too slow misses
// the oldest ones. Next, Try and Lag are for one goroutine at a time, the rest for any.
type Subscription struct {
	hub    *Hub
	filter Filter
	ready  chan struct{} // holds a token when there may be something new
	closed chan struct{}
	once   atomic.Bool
	missed atomic.Uint64

	events, others cursor
	taken          [batch]Item // not handed out yet
	first, n       int
}

// cursor is where a subscription stands in a ring.
type cursor struct {
	wanted bool
	at     uint64 // the number of the next item
}

// Subscribe returns a subscription to what the filter takes, beginning with what
// the hub still holds of later than the ID since: 0 means all of it, and Now
// nothing. An ID that is higher than any published is that of another hub, and means 0. The caller closes it.
func (h *Hub) Subscribe(f Filter, since uint64) *Subscription {
	s := &Subscription{hub: h, filter: f, ready: make(chan struct{}, 1), closed: make(chan struct{})}
	s.events.wanted, s.others.wanted = f.wants()
	h.subsMu.Lock()
	h.subs[s] = struct{}{}
	h.subsMu.Unlock()
	h.subscribers.Add(1) // before the place is looked up, so that nothing after that comes unheard
	h.mu.Lock()
	defer h.mu.Unlock()
	if since != Now && since > h.last {
		since = 0
	}
	s.events.at, s.others.at = h.events.after(since), h.others.after(since)
	return s
}

// after is the number of the first item later than an ID.
func (r *ring) after(id uint64) uint64 {
	low, high := r.oldest(), r.count
	for low < high {
		if middle := low + (high-low)/2; r.at(middle).ID <= id {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// Next returns the next item, and waits for it. The error is that of ctx, or ErrClosed.
func (s *Subscription) Next(ctx context.Context) (Item, error) {
	for {
		if it, ok := s.Try(); ok {
			return it, nil
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return Item{}, ctx.Err()
		case <-s.closed:
			return Item{}, ErrClosed
		}
	}
}

// Try returns the next item if there is one already.
func (s *Subscription) Try() (it Item, ok bool) {
	for {
		for s.first < s.n {
			it := &s.taken[s.first]
			s.first++
			if s.filter.Match(it) {
				return *it, true
			}
		}
		if s.first, s.n = 0, s.take(); s.n == 0 {
			return Item{}, false
		}
	}
}

// Missed is how many items were overwritten before they were looked at, whether
// or not the filter would have taken them.
func (s *Subscription) Missed() uint64 { return s.missed.Load() }

// Lag counts what has been overwritten up to now, for a subscriber that is held up, and returns Missed.
func (s *Subscription) Lag() uint64 {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.missed.Add(s.events.skip(&s.hub.events) + s.others.skip(&s.hub.others))
	return s.missed.Load()
}

// Close ends the subscription, and a Next that waits.
func (s *Subscription) Close() {
	if s.once.Swap(true) {
		return
	}
	s.hub.subsMu.Lock()
	delete(s.hub.subs, s)
	s.hub.subsMu.Unlock()
	s.hub.subscribers.Add(-1)
	close(s.closed)
}

// take copies the next items of both rings, in the order of their IDs.
func (s *Subscription) take() (n int) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.missed.Add(s.events.skip(&h.events) + s.others.skip(&h.others))
	for ; n < batch; n++ {
		event, other := s.events.peek(&h.events), s.others.peek(&h.others)
		switch {
		case event != nil && (other == nil || event.ID < other.ID):
			s.taken[n] = *event
			s.events.at++
		case other != nil:
			s.taken[n] = *other
			s.others.at++
		default:
			return n
		}
	}
	return n
}

// skip steps over what was overwritten, and returns how much that was.
func (c *cursor) skip(r *ring) uint64 {
	if !c.wanted || c.at >= r.oldest() {
		return 0
	}
	lost := r.oldest() - c.at
	c.at += lost
	return lost
}

// peek is the next item, nil if there is none or none is wanted.
func (c *cursor) peek(r *ring) *Item {
	if !c.wanted || c.at == r.count {
		return nil
	}
	return r.at(c.at)
}
