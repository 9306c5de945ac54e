package engine

import (
	"fmt"
	"testing"

	"moonlatch/engine/detect"
	"moonlatch/engine/policy"
)

// putRule puts a callback that is known by its rule's name.
func putRule(q *queue, rule string) { q.put(func(c *callback) { c.rule = rule }) }

func takeRules(q *queue) (rules []string) {
	var c callback
	for q.take(&c) {
		rules = append(rules, c.rule)
	}
	return rules
}

// A full queue drops what is oldest and counts it; what stays keeps its order.
func TestQueueDropsOldest(t *testing.T) {
	q := newQueue()
	const more = 10
	for i := range queueLimit + more {
		putRule(q, fmt.Sprint(i))
	}
	if got, want := q.stats(), (queueStats{waiting: queueLimit, dropped: more}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	rules := takeRules(q)
	if len(rules) != queueLimit {
		t.Fatalf("%d callbacks, want %d", len(rules), queueLimit)
	}
	for i, rule := range rules {
		if rule != fmt.Sprint(i+more) {
			t.Fatalf("callback %d is that of %s, want %d", i, rule, i+more)
		}
	}
	if got, want := q.stats(), (queueStats{taken: queueLimit, dropped: more}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// There is a token whenever there is something to take, or its taker would sleep.
func TestQueueReady(t *testing.T) {
	q := newQueue()
	for round := range 3 {
		if len(q.ready) != 0 {
			t.Fatalf("round %d: ready while empty", round)
		}
		putRule(q, "a")
		putRule(q, "b")
		if len(q.ready) != 1 {
			t.Fatalf("round %d: not ready with %d callbacks", round, q.stats().waiting)
		}
		<-q.ready
		if rules := takeRules(q); len(rules) != 2 {
			t.Fatalf("round %d: took %v", round, rules)
		}
	}
}

// Between a goroutine that puts and one that takes, each callback is taken or
// counted as dropped, and none comes before an older one.
func TestQueueConcurrently(t *testing.T) {
	q := newQueue()
	const n = 5 * queueLimit
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range n {
			q.put(func(c *callback) { c.runtime = &runtime{generation: uint64(i)} })
		}
	}()
	var c callback
	last := int64(-1)
	for more := true; more; {
		select {
		case <-q.ready:
		case <-done:
			more = false
		}
		for q.take(&c) {
			next := int64(c.runtime.generation)
			if next <= last {
				t.Fatalf("callback %d after %d", next, last)
			}
			last = next
		}
	}
	if s := q.stats(); s.taken+s.dropped != n || s.waiting != 0 || last != n-1 {
		t.Errorf("%+v of %d, the last was %d", s, n, last)
	}
}

// A callback that was taken keeps no policy alive: its place may not be used again for long.
func TestQueueForgets(t *testing.T) {
	q := newQueue()
	q.put(func(c *callback) { c.finding(&runtime{}, &policy.Detector{}, &detect.Hit{Ports: []uint16{22}}) })
	var c callback
	if !q.take(&c) || c.runtime == nil || c.detector == nil || len(c.hit.Ports) != 1 {
		t.Fatalf("took %+v", c)
	}
	if left := &q.ring[0]; left.runtime != nil || left.detector != nil || left.handler != nil || left.hit.Ports != nil {
		t.Errorf("the queue still holds %+v", left)
	}
}
