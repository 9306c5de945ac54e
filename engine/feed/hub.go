package feed

import (
	"sync"
	"sync/atomic"
	"time"

	"moonlatch/engine/packet"
)

// How much the hub holds, for whoever comes later or is slow. Packet events have
// a ring of their own, so that no flood pushes out what is rare.
const (
	eventsHeld = 8192
	othersHeld = 2048
)

// pace is how soon subscribers are woken after something was published: they
// then take together what came meanwhile, and publishing costs the same for
// five hundred of them as for one.
const pace = 5 * time.Millisecond

// Hub holds what happened last, for any number of subscribers. Publishing
// copies an item into memory that is there already, and waits for nothing but
// such a copy. It is safe for concurrent use. A nil Hub takes nothing.
type Hub struct {
	mu     sync.Mutex
	last   uint64 // ID
	events ring
	others ring

	subscribers atomic.Int64 // to be asked without a lock
	waking      atomic.Bool  // the timer runs
	timer       *time.Timer

	subsMu sync.Mutex
	subs   map[*Subscription]struct{}
}

// NewHub returns an empty hub. IDs begin with the time of day in microseconds:
// they rise from one daemon to the next, and JavaScript can count them.
func NewHub() *Hub {
	h := &Hub{
		last:   uint64(time.Now().UnixMicro()),
		events: ring{held: make([]Item, eventsHeld)},
		others: ring{held: make([]Item, othersHeld)},
		subs:   map[*Subscription]struct{}{},
	}
	h.timer = time.AfterFunc(time.Hour, h.wake)
	h.timer.Stop()
	return h
}

// Publish gives an item its ID, which it returns, and its time where it has none.
func (h *Hub) Publish(it Item) (id uint64) {
	if h == nil {
		return 0
	}
	if it.Time.IsZero() {
		it.Time = time.Now()
	}
	h.mu.Lock()
	h.last++
	it.ID = h.last
	*h.others.next() = it
	h.mu.Unlock()
	h.published()
	return it.ID
}

// Event publishes a packet event. It copies the packet, but not its payload, and allocates nothing.
func (h *Hub) Event(from *Source, iif, oif string, p *packet.Packet) {
	if h == nil {
		return
	}
	h.mu.Lock()
	h.last++
	it := h.events.next()
	it.ID, it.Time, it.Kind = h.last, p.Time, KindEvent
	e := &it.Event
	e.Stream, e.Chain, e.Rule, e.Verdict, e.Iif, e.Oif = from.Stream, from.Chain, from.Rule, from.Verdict, iif, oif
	e.Packet = *p
	e.Packet.Payload = nil
	h.mu.Unlock()
	h.published()
}

// Source is the rule that logs packets.
type Source struct{ Stream, Chain, Rule, Verdict string }

// published has the subscribers look soon, if there are any.
func (h *Hub) published() {
	if h.subscribers.Load() > 0 && h.waking.CompareAndSwap(false, true) {
		h.timer.Reset(pace)
	}
}

func (h *Hub) wake() {
	h.waking.Store(false) // first: what is published from now on sets the timer anew
	h.subsMu.Lock()
	defer h.subsMu.Unlock()
	for s := range h.subs {
		select {
		case s.ready <- struct{}{}:
		default:
		}
	}
}

// Subscribers is how many subscriptions are open.
func (h *Hub) Subscribers() int { return int(h.subscribers.Load()) }

// Last is the ID of the newest item.
func (h *Hub) Last() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// ring holds the last items of those published in it.
type ring struct {
	held  []Item
	count uint64 // of items published so far
}

// next is the place of the item that comes, which overwrites the oldest.
func (r *ring) next() *Item {
	it := &r.held[r.count%uint64(len(r.held))]
	r.count++
	return it
}

// at is the n-th item that was published.
func (r *ring) at(n uint64) *Item { return &r.held[n%uint64(len(r.held))] }

// oldest is the number of the oldest item that is held.
func (r *ring) oldest() uint64 { return r.count - min(r.count, uint64(len(r.held))) }
