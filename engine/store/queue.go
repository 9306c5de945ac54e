package store

import (
	"net/netip"
	"sync"
	"time"
)

// queueLimit is how many records wait at most: at 20,000 a second, half a minute of a disk that does not take any.
const queueLimit = 1 << 16

// What becomes of a record.
type change uint8

const (
	happened  change = iota // it is history
	kept                    // its ban is in force
	forgot                  // its ban is no more
	forgotAll               // none is
	counted                 // packets were
)

// record is one thing to be written.
type record struct {
	change change
	entry  Entry
	trial  bool   // of a ban that is kept
	tally  *tally // of what is counted
}

// queue holds records until they are written. It takes memory only for what waits.
type queue struct {
	mu      sync.Mutex
	records []record

	some chan struct{} // holds a token when there are any
	many chan struct{} // and when there is a batch of them
}

func (q *queue) init() { q.some, q.many = make(chan struct{}, 1), make(chan struct{}, 1) }

// put reports whether there was room. It never waits.
func (q *queue) put(r record) bool {
	q.mu.Lock()
	n := len(q.records)
	if n < queueLimit {
		q.records = append(q.records, r)
	}
	q.mu.Unlock()
	signal(q.some)
	if n >= batchSize {
		signal(q.many)
	}
	return n < queueLimit
}

// take returns all that waits.
func (q *queue) take() []record {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.records
	q.records = nil
	return taken
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.records)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Record notes what happened, now if it does not say when. It never waits. What is in force is for Keep and Forget.
func (s *Store) Record(e Entry) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	s.put(record{change: happened, entry: e})
}

// Keep notes that a ban is in force. It never waits.
func (s *Store) Keep(b Ban) {
	s.put(record{change: kept, entry: Entry{
		Time: b.Since, Target: b.Target, Until: b.Until, Origin: b.Origin, By: b.By, Why: b.Why,
	}, trial: b.Trial})
}

// Forget notes that the ban of a target is not in force any more. It never waits.
func (s *Store) Forget(target netip.Prefix) {
	s.put(record{change: forgot, entry: Entry{Target: target}})
}

// ForgetAll notes that no ban is in force any more. It never waits.
func (s *Store) ForgetAll() { s.put(record{change: forgotAll}) }

func (s *Store) put(r record) {
	if s.queue.put(r) {
		return
	}
	s.counters.dropped.Add(1)
	s.missed.Store(true)
}
