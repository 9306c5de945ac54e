package web

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"moonlatch/engine/feed"
)

// How much of what happens a client is shown. It is for people to read, so a
// flood is shown by its newest events, with the number of the others.
const (
	// gatherTime is how long what happens is gathered, to be sent together.
	gatherTime = 200 * time.Millisecond
	// maxGathered is how many packet events of that time filters may choose from.
	maxGathered = 2048
	// maxShown is how many packet events a client gets at a time.
	maxShown = 100
	// maxBacklog is how many a new client gets of what was before.
	maxBacklog = 400
	// maxWaiting is how many batches wait for a slow client. The oldest go first.
	maxWaiting = 8
)

// broadcast takes what happens from the feed once for all clients. So the feed,
// and with it the packet path, has one listener at most, however many look.
type broadcast struct {
	hub    *feed.Hub
	gather time.Duration
	came   chan struct{} // holds a token when a client may be the first

	mu        sync.Mutex
	listeners map[*listener]struct{}
	sub       *feed.Subscription // while there are listeners
}

func newBroadcast(hub *feed.Hub) *broadcast {
	return &broadcast{hub: hub, gather: gatherTime, came: make(chan struct{}, 1), listeners: map[*listener]struct{}{}}
}

// listener is one client's queue.
type listener struct {
	batches chan *batch
	mu      sync.Mutex
	missed  uint64 // items of batches that were dropped
}

// batch is what happened in a short time.
type batch struct {
	items  []feed.Item
	missed uint64 // packet events that came too fast to be taken

	mu    sync.Mutex
	texts [][]byte // of the items, once somebody wanted them
}

// run passes on what happens until ctx ends. Nobody listens to the feed while there are no clients.
func (b *broadcast) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.came:
			b.pass(ctx)
		}
	}
}

// pass passes on what happens while there are clients.
func (b *broadcast) pass(ctx context.Context) {
	var missed uint64
	for sub := b.listening(); sub != nil; sub = b.listening() {
		first, err := sub.Next(ctx)
		if err != nil {
			sub.Close()
			return
		}
		time.Sleep(b.gather)
		out := take(sub, maxGathered, first)
		out.missed += sub.Missed() - missed
		missed = sub.Missed()
		b.deliver(out)
	}
}

// listening is the subscription for those who listen, and nil, when it is ended, if nobody does.
func (b *broadcast) listening() *feed.Subscription {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.listeners) == 0 && b.sub != nil {
		b.sub.Close()
		b.sub = nil
	}
	return b.sub
}

// take takes what there is: the newest of the packet events, and all else.
func take(sub *feed.Subscription, most int, first ...feed.Item) *batch {
	var events, others []feed.Item
	n := 0
	add := func(it feed.Item) {
		switch {
		case it.Kind != feed.KindEvent:
			others = append(others, it)
			return
		case n < most:
			events = append(events, it)
		default:
			events[n%most] = it
		}
		n++
	}
	for _, it := range first {
		add(it)
	}
	for it, ok := sub.Try(); ok; it, ok = sub.Try() {
		add(it)
	}
	items := append(events, others...)
	slices.SortFunc(items, func(a, b feed.Item) int { return cmp.Compare(a.ID, b.ID) })
	return &batch{items: items, missed: uint64(n - len(events)), texts: make([][]byte, len(items))}
}

// choose returns which items a client is shown that was shown those up to the ID
// last, at most so many packet events, and how many more it would have wanted.
func (b *batch) choose(packets *feed.Filter, last uint64, most int) (chosen []int, missed uint64) {
	events := 0
	for i := len(b.items) - 1; i >= 0 && b.items[i].ID > last; i-- {
		it := &b.items[i]
		if it.Kind == feed.KindEvent {
			if !packets.Match(it) {
				continue
			}
			if events++; events > most {
				missed++
				continue
			}
		}
		chosen = append(chosen, i)
	}
	slices.Reverse(chosen)
	return chosen, missed
}

func (b *broadcast) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.listeners)
}

func (b *broadcast) deliver(out *batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l := range b.listeners {
		l.put(out)
	}
}

// join makes a listener of what happens from now on.
func (b *broadcast) join() *listener {
	l := &listener{batches: make(chan *batch, maxWaiting)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listeners[l] = struct{}{}
	if b.sub == nil {
		b.sub = b.hub.Subscribe(feed.Filter{}, feed.Now) // here, so that nothing is missed until it is passed on
	}
	select {
	case b.came <- struct{}{}:
	default:
	}
	return l
}

func (b *broadcast) leave(l *listener) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.listeners, l)
}

// put queues a batch, in the place of the oldest where the client is slow.
func (l *listener) put(b *batch) {
	for {
		select {
		case l.batches <- b:
			return
		default:
		}
		select {
		case old := <-l.batches:
			l.mu.Lock()
			l.missed += old.missed + uint64(len(old.items))
			l.mu.Unlock()
		default:
		}
	}
}

// takeMissed is how many items the listener has lost since it was asked last.
func (l *listener) takeMissed() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.missed
	l.missed = 0
	return n
}

// text is an item as JSON, made once for all clients.
func (b *batch) text(i int) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.texts[i] != nil {
		return b.texts[i], nil
	}
	text, err := json.Marshal(&b.items[i])
	b.texts[i] = text
	return text, err
}
