package store

import (
	"sync"
	"time"
)

// queueLimit is how many records wait at most: at 20,000 a second, half a minute of a disk that does not take any.
const queueLimit = 1 << 16

// What becomes of a record.
type change uint8

const (
	happened change = iota // it is history, and changes what is in force
	kept                   // its ban is in force, and was before
	forgot                 // its ban is no more, and was not before
	counted                // packets were
)

// record is one thing to be written.
type record struct {
	change change
	entry  Entry
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

// Record notes what happened, now if it does not say when. It never waits.
func (s *Store) Record(e Entry) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	s.put(record{change: happened, entry: e})
}

// Keep notes that a ban is in force of which nothing was recorded, and Forget that it is not. They never wait.
func (s *Store) Keep(b Ban) {
	s.put(record{change: kept, entry: Entry{
		Kind: Banned, Time: b.Since, Target: b.Target, Until: b.Until, Origin: b.Origin, By: b.By, Why: b.Why, Trial: b.Trial,
	}})
}

// Forget is the opposite of Keep.
func (s *Store) Forget(b Ban) {
	s.put(record{change: forgot, entry: Entry{Kind: Unbanned, Target: b.Target}})
}

func (s *Store) put(r record) {
	if s.queue.put(r) {
		return
	}
	s.counters.dropped.Add(1)
	s.missed.Store(true)
}
