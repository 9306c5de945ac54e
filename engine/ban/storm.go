package ban

import (
	"sync"
	"time"
)

// stormOver is how long no ban is held back before a storm is over.
const stormOver = 30 * time.Second

// Storm is a time in which bans were held back for one reason, again and again.
type Storm struct {
	Reason string    // as in Stats.Suppressed, or UnbannedEvicted
	Began  time.Time // when the first was held back
	Count  uint64    // how many were; 1 where it begins
	First  Request   // the first of them
	Err    error     // why
	Over   bool      // none has been held back for half a minute
}

// storms tells of bans that are held back once when it begins, and once when it is over.
type storms struct {
	tell func(Storm) // may be nil
	now  func() time.Time

	mu sync.Mutex
	on map[string]*storm // by reason
}

type storm struct {
	Storm
	last time.Time
}

// note notes a request that was held back.
func (s *storms) note(r Request, err error) { s.add(reason(err), r, err, 1) }

func (s *storms) add(reason string, r Request, err error, n int) {
	now := s.now()
	s.end(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	on := s.on[reason]
	begins := on == nil
	if begins {
		if s.on == nil {
			s.on = make(map[string]*storm)
		}
		on = &storm{Storm: Storm{Reason: reason, Began: now.Round(0), First: r, Err: err}}
		s.on[reason] = on
	}
	on.Count += uint64(n)
	on.last = now
	if begins && s.tell != nil {
		s.tell(on.Storm)
	}
}

// end tells of the storms that are over.
func (s *storms) end(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for reason, on := range s.on {
		if now.Sub(on.last) < stormOver {
			continue
		}
		delete(s.on, reason)
		on.Over = true
		if s.tell != nil {
			s.tell(on.Storm)
		}
	}
}

// going lists the reasons of the storms that go on.
func (s *storms) going() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]bool, len(s.on))
	for reason := range s.on {
		out[reason] = true
	}
	return out
}
