package engine

import "sync"

// queueLimit is how many callbacks can wait: at a handler's 2 µs or so, some
// 10 ms of work, and 5 MB.
const queueLimit = 4096

// queue hands callbacks from the goroutine that reads packets to the one that
// runs Lua. A writer never waits: when the queue is full, the oldest callback
// is dropped and counted, since news is worth more than history.
type queue struct {
	ready chan struct{} // holds a token while there is something to take

	mu      sync.Mutex
	ring    [queueLimit]callback
	first   int
	length  int
	dropped uint64
	taken   uint64
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

// put lets fill write a callback into the queue's own memory.
func (q *queue) put(fill func(*callback)) {
	q.mu.Lock()
	if q.length == queueLimit {
		q.first = (q.first + 1) % queueLimit
		q.length--
		q.dropped++
	}
	fill(&q.ring[(q.first+q.length)%queueLimit])
	q.length++
	q.mu.Unlock()
	q.wake()
}

// wake has the reader of the queue look whether there is something to take.
func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take copies the oldest callback out; ok is false when there is none.
func (q *queue) take(c *callback) (ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.length == 0 {
		return false
	}
	c.copy(&q.ring[q.first])
	q.ring[q.first].forget()
	q.first = (q.first + 1) % queueLimit
	q.length--
	q.taken++
	return true
}

// queueStats are a queue's counters: callbacks waiting, taken and dropped.
type queueStats struct {
	waiting        int
	taken, dropped uint64
}

func (q *queue) stats() queueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return queueStats{q.length, q.taken, q.dropped}
}
