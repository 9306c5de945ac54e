// Package detect counts packet events over sliding windows in bounded memory
// and says who crossed a threshold.
package detect

import (
	"net/netip"
	"time"

	"go4.org/netipx"

	"moonlatch/engine/packet"
)

// maxEvidence bounds the ports that a Hit carries, which end up in logs and
// ban reasons.
const maxEvidence = 64

// Detector counts the events of each source. An IPv6 source is its /64, since
// whoever has one address of a /64 has them all.
//
// The count is exact: Observe reports the very packet that makes it exceed
// Spec.Over, where an event counts while it is less than Spec.Within older than
// the newest event of its source. It can fall short only where the table was
// full and the source lost its place, which Stats.Evicted counts.
//
// There is no clock but the packets' own. A packet that is a little late
// (a tenth of the window, at most a second: packets of different CPUs overtake
// each other) counts as of its own time. An older one means that the clock was
// set back; ages from before that cannot be compared, so its source starts
// afresh. A clock set back can thus delay a hit but never cause one.
//
// A Detector is used by one goroutine, except Stats.
type Detector struct {
	name   string
	count  Count
	over   int
	except *netipx.IPSet
	table  table
	stats  counters
}

// Hit says that a source crossed the threshold, and shows the evidence.
type Hit struct {
	Detector    string
	Src         netip.Addr // the address that crossed it; other addresses of its /64 may have counted too
	First, Last time.Time  // oldest and newest event counted
	Count       int        // what was counted: always one more than Spec.Over
	Ports       []uint16   // DistinctDport: the latest 64 ports at most, ascending; otherwise nil
}

// New allocates all memory that a detector for spec ever needs; pages are
// touched only as sources are seen. Its errors name the field, what was given
// and what is allowed.
func New(spec Spec) (*Detector, error) {
	track, err := spec.validate()
	if err != nil {
		return nil, err
	}
	return &Detector{
		name:   spec.Name,
		count:  spec.Count,
		over:   spec.Over,
		except: spec.Except,
		table:  newTable(track, spec.Over+1, spec.Within, spec.Count == DistinctDport),
	}, nil
}

// Observe counts p and returns a Hit if p made the count of its source exceed
// the threshold; the source then starts afresh. Packets without a source, a time or, for
// DistinctDport, a certain port are not counted. It keeps nothing of p and
// allocates only for a Hit.
func (d *Detector) Observe(p *packet.Packet) *Hit {
	d.stats.events.Add(1)
	if !d.countable(p) {
		d.stats.skipped.Add(1)
		return nil
	}
	if d.except != nil && d.except.Contains(p.Src) {
		d.stats.excepted.Add(1)
		return nil
	}
	now := p.Time.UnixNano()
	slot := d.slot(sourceKey(p), now)
	if d.table.add(slot, now, p.Dport) <= d.over {
		return nil
	}
	hit := d.hit(slot, p)
	d.table.release(slot)
	d.stats.tracked.Add(-1)
	d.stats.hits.Add(1)
	return hit
}

func (d *Detector) countable(p *packet.Packet) bool {
	if d.count == DistinctDport && !p.HasPorts {
		return false
	}
	return p.Src.IsValid() && !p.Time.IsZero()
}

// slot returns the place of k in the table, which it makes if need be.
func (d *Detector) slot(k key, now int64) int {
	bucket := d.table.bucket(k)
	if slot, ok := d.table.find(bucket, k); ok {
		return slot
	}
	slot, was := d.table.claim(bucket, k, now)
	switch was {
	case slotFree:
		d.stats.tracked.Add(1)
	case slotLive:
		d.stats.evicted.Add(1)
	}
	return slot
}

func (d *Detector) hit(slot int, p *packet.Packet) *Hit {
	times, ports := d.table.window(slot)
	return &Hit{
		Detector: d.name,
		Src:      p.Src,
		First:    time.Unix(0, times[0]),
		Last:     time.Unix(0, times[len(times)-1]),
		Count:    len(times),
		Ports:    ports.latest(maxEvidence),
	}
}
