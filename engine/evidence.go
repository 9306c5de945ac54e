package engine

import (
	"net/netip"
	"sync"
	"time"

	"moonlatch/engine/ban"
)

// maxEvidence bounds the bans whose evidence is remembered: the latest ones.
const maxEvidence = 4096

// evidences remembers what led to bans. Its zero value is ready; it is safe for concurrent use.
type evidences struct {
	mu    sync.Mutex
	of    map[netip.Prefix]*ban.Evidence
	order []netip.Prefix // a ring: the oldest is at next when it is full
	next  int
}

// remember notes the evidence of a ban that has been made.
func (e *evidences) remember(b ban.Ban) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if b.Evidence == nil {
		delete(e.of, b.Target) // that of an earlier ban is not this one's
		return
	}
	if e.of == nil {
		e.of = map[netip.Prefix]*ban.Evidence{}
	}
	if _, known := e.of[b.Target]; !known {
		if len(e.order) < maxEvidence {
			e.order = append(e.order, b.Target)
		} else {
			delete(e.of, e.order[e.next])
			e.order[e.next] = b.Target
			e.next = (e.next + 1) % maxEvidence
		}
	}
	e.of[b.Target] = b.Evidence
}

// find returns the evidence of a target's ban, nil if none is remembered.
func (e *evidences) find(target netip.Prefix) *ban.Evidence {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.of[target]
}

// banTook follows made for the same ban.
func (f *Firewall) banTook(d time.Duration) { f.observe.BanTook(d, f.lastBan.Load()) }

// made notes a ban that is in force, and tells of it.
func (f *Firewall) made(b ban.Ban) {
	f.evidence.remember(b)
	f.lastBan.Store(f.booked(b))
}
