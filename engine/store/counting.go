package store

import (
	"net/netip"
	"sync"
	"time"
)

const (
	burst      = 4096 // packet events that wait to be counted
	countEvery = 10 * time.Second

	maxCounted = 1 << 14 // sources, and as many ports, that are told apart in that time
	maxRows    = 256     // of those, the busiest, that get a row of their own
	maxTallies = 16      // tallies that wait to be written
	ring       = 1 << 14 // packet events that are kept one by one
	maxPackets = 512     // of those, that are added at a time
	someLikely = 6       // ports that are named with a source
)

// counting counts packets. Observe fills one buffer while count empties the other.
type counting struct {
	mu     sync.Mutex
	events []Event
	other  []Event // of the same size
	half   chan struct{}
	asked  chan chan struct{} // by those who want everything counted so far to be queued

	dropMu  sync.Mutex
	dropped int64 // packets of banned sources
}

func (c *counting) init() {
	c.half = make(chan struct{}, 1)
	c.asked = make(chan chan struct{})
}

// Observe counts a packet. It copies the event, allocates nothing but at first, and never waits for long.
func (s *Store) Observe(e *Event) {
	c := &s.counting
	c.mu.Lock()
	if c.events == nil {
		c.events = make([]Event, 0, burst)
	}
	n := len(c.events)
	if n < burst {
		c.events = append(c.events, *e)
	}
	c.mu.Unlock()
	switch {
	case n == burst:
		s.counters.uncounted.Add(1)
	case n == burst/2:
		signal(c.half)
	}
}

// Dropped counts packets that were dropped because their source was banned.
func (s *Store) Dropped(packets int64) {
	c := &s.counting
	c.dropMu.Lock()
	defer c.dropMu.Unlock()
	c.dropped += packets
}

// take returns what was observed. The slice is valid until the next call.
func (c *counting) take() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.events) == 0 {
		return nil
	}
	taken := c.events
	if c.other == nil {
		c.other = make([]Event, 0, burst)
	}
	c.events, c.other = c.other[:0], taken
	return taken
}

func (c *counting) takeDropped() int64 {
	c.dropMu.Lock()
	defer c.dropMu.Unlock()
	n := c.dropped
	c.dropped = 0
	return n
}

// count runs until the Store is closed.
func (s *Store) count() {
	t := newTally()
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	for {
		var asked chan struct{}
		select {
		case <-s.counting.half:
			t.add(s.counting.take())
			continue
		case <-ticker.C:
		case asked = <-s.counting.asked:
		case <-s.closing:
			s.handOver(t)
			return
		}
		t = s.handOver(t)
		if asked != nil {
			close(asked)
		}
	}
}

// handOver queues what is counted and returns what to count with from there on.
func (s *Store) handOver(t *tally) *tally {
	t.add(s.counting.take())
	t.dropped += s.counting.takeDropped()
	if t.empty() {
		return t
	}
	if s.tallies.Add(1) > maxTallies {
		s.tallies.Add(-1)
		s.counters.uncounted.Add(uint64(t.events))
		return newTally()
	}
	s.put(record{change: counted, tally: t})
	return newTally()
}

// tally is what was counted in some seconds.
type tally struct {
	start   time.Time // of the minute
	events  int64
	dropped int64
	sources map[sourceKey]*sourceCount
	ports   map[portKey]int64
	latest  []Event // at most maxPackets; a ring when it is full
	next    int
}

type sourceKey struct {
	stream string
	addr   netip.Addr // of IPv6 the first of the /64; the zero Addr for all others
}

type sourceCount struct {
	events int64
	last   time.Time
	ports  [someLikely]port
}

type port struct {
	number uint16
	proto  uint8
}

type portKey struct {
	stream string
	port   port // the zero port for all others
}

func newTally() *tally {
	return &tally{sources: map[sourceKey]*sourceCount{}, ports: map[portKey]int64{}}
}

func (t *tally) empty() bool { return t.events == 0 && t.dropped == 0 }

func (t *tally) add(events []Event) {
	if t.start.IsZero() {
		t.start = time.Now().Truncate(time.Minute)
	}
	for i := range events {
		e := &events[i]
		t.events++
		t.source(e).count(e)
		t.port(e)
		t.keep(e)
	}
}

// source returns the count that an event belongs to.
func (t *tally) source(e *Event) *sourceCount {
	k := sourceKey{e.Stream, sourceOf(e.Src)}
	c := t.sources[k]
	if c == nil && len(t.sources) >= maxCounted {
		k.addr = netip.Addr{}
		c = t.sources[k]
	}
	if c == nil {
		c = &sourceCount{}
		t.sources[k] = c
	}
	return c
}

// sourceOf is what the events of an address are counted as.
func sourceOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() || a.IsLinkLocalUnicast() {
		return a
	}
	p, _ := a.Prefix(64)
	return p.Addr()
}

func (c *sourceCount) count(e *Event) {
	c.events++
	if e.Time.After(c.last) {
		c.last = e.Time
	}
	p := port{e.Dport, e.Proto}
	for i := range c.ports {
		switch c.ports[i] {
		case p:
			return
		case port{}:
			c.ports[i] = p
			return
		}
	}
}

func (t *tally) port(e *Event) {
	k := portKey{e.Stream, port{e.Dport, e.Proto}}
	if _, known := t.ports[k]; !known && len(t.ports) >= maxCounted {
		k.port = port{}
	}
	t.ports[k]++
}

// keep keeps one of the latest events.
func (t *tally) keep(e *Event) {
	if len(t.latest) < maxPackets {
		t.latest = append(t.latest, *e)
		return
	}
	t.latest[t.next] = *e
	t.next = (t.next + 1) % maxPackets
}
