package main

import (
	"fmt"
	"sync"
	"time"
)

// A judge holds what the client's packets show against what is permitted at that
// time. What is permitted is told before it can happen, what is seen comes later.
type judge struct {
	report func(violation)

	mu      sync.Mutex
	permits []permit
	seen    [mixed + 1]int // bursts by what they showed
	slow    int            // bursts whose time is not known as well as on a machine that is not busy
}

// permit is what may be in force for a time.
type permit struct {
	states
	from, until time.Time // until is zero while it lasts
}

// only ends every permission and permits these states from now on.
func (j *judge) only(ss states) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	for i, p := range j.permits {
		if p.until.IsZero() || p.until.After(now) {
			j.permits[i].until = now
		}
	}
	// What is older than any packet that is still to be judged is of no use.
	for len(j.permits) > 0 && now.Sub(j.permits[0].until) > time.Minute {
		j.permits = j.permits[1:]
	}
	j.permits = append(j.permits, permit{states: ss, from: now})
}

// also permits these states, too, for some time.
func (j *judge) also(ss states, until time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.permits = append(j.permits, permit{states: ss, from: time.Now(), until: until})
}

// permitted is what may have been in force somewhere between two instants.
func (j *judge) permitted(from, to time.Time) states {
	j.mu.Lock()
	defer j.mu.Unlock()
	var ss states
	for _, p := range j.permits {
		if !p.from.After(to) && (p.until.IsZero() || !p.until.Before(from)) {
			ss |= p.states
		}
	}
	return ss
}

// underWay is how long after it was sent a packet may meet the firewall on a machine that is not busy.
const underWay = 50 * time.Millisecond

// burst is one probe of every port, a few microseconds long.
type burst struct {
	first, last time.Time // when its first packet was about to be sent, and when its last one was
	back        time.Time // when its last answer was seen
	state       state
	lag         time.Duration // how long those sent about then took to come back: so long it may have been under way
}

// sequence judges the bursts of one address family, in their order.
type sequence struct {
	judge  *judge
	family string
	before burst // judged already
	doubt  *burst
}

// add judges a burst. One that shows neither one policy nor another may have met the
// very instant of a change: then it stands alone, and what is in force differs soon after. Soon
// is not at once, since the processors of a busy machine may deal with packets out of turn. Where one transaction takes
// away what lets nobody in and makes another base chain, the kernel has an instant at which neither filters.
func (s *sequence) add(b burst) {
	met := b.state == mixed || b.state == closed || b.state == open && s.before.state == closed
	doubtful := met && !s.permits(b) && b.state != s.before.state
	if d := s.doubt; d != nil && (doubtful || b.state != s.before.state || b.first.Sub(d.last) > d.lag) {
		s.doubt = nil
		if doubtful || b.state == s.before.state {
			s.look(*d)
		}
	}
	s.judge.mu.Lock()
	s.judge.seen[b.state]++
	if b.lag > underWay {
		s.judge.slow++
	}
	s.judge.mu.Unlock()
	if doubtful && b.state != s.before.state {
		s.doubt = &b
		return
	}
	s.look(b)
}

func (s *sequence) permits(b burst) bool {
	return s.judge.permitted(b.first, b.last.Add(b.lag)).has(b.state)
}

func (s *sequence) look(b burst) {
	s.before = b
	if s.permits(b) {
		return
	}
	ss := s.judge.permitted(b.first, b.last.Add(b.lag))
	promise := wrongPolicy
	switch b.state {
	case closed:
		promise = lockedOut
	case mixed:
		promise = halfApplied
	}
	s.judge.report(violation{Promise: promise, At: b.first, What: fmt.Sprintf("%s: %s, where only %s may be", s.family, b.state, ss)})
}
