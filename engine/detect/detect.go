// Package detect counts packet events over sliding windows in bounded memory
// and says who crossed a threshold.
package detect

import (
	"runtime"

	"moonlatch/engine/packet"
)

// Detector counts the events of each key, which for most is their source.
//
// Up to an Over of MaxExact, events and distinct things are counted exactly:
// Observe reports the very packet that makes the count exceed Spec.Over, where
// an event counts while it is less than Spec.Within older than the newest event
// of its key.
//
// Bytes, and events with a larger Over, are added up exactly, but leave the
// window in parts, of which it has Parts: the events of one part are no longer
// counted once the oldest of them has left. So each event counts for at most
// Spec.Within, and for at least 63/64 of it. A hit is therefore never early: so
// many did come within Spec.Within. Who exceeds Over within 63/64 of Spec.Within
// is reported at that very packet. Who needs all of it may be missed.
//
// A count can fall short further only where the table was full and the key lost
// its place, which Stats.Evicted counts.
//
// There is no clock but the packets' own. A packet that is a little late
// (a tenth of the window, at most a second: packets of different CPUs overtake
// each other) counts as of its own time. An older one means that the clock was
// set back; ages from before that cannot be compared, so its key starts
// afresh. A clock set back can thus delay a hit but never cause one.
//
// A Detector is used by one goroutine, except Stats.
type Detector struct {
	spec    Spec
	sources sources // of the key
	senders sources // that DistinctSrc tells apart

	table    table
	sums     *sums     // of Events and Bytes
	distinct *distinct // of the others
	stats    counters
}

// New gets all memory that a detector for spec ever needs; pages are touched only
// as keys are seen. Its errors are those of Validate, and that there is no memory.
func New(spec Spec) (*Detector, error) {
	track, err := spec.validate()
	if err != nil {
		return nil, err
	}
	var m memory
	d := &Detector{
		spec:    spec,
		sources: newSources(spec.bits()),
		senders: newSources(defaultBits4, defaultBits6),
		table:   newTable(&m, track, spec.Within, spec.Per.pair()),
	}
	if spec.Count.distinct() {
		d.distinct = newDistinct(&m, track, spec)
	} else {
		d.sums = newSums(&m, track, spec)
	}
	if err := m.belongTo(d); err != nil {
		return nil, spec.errorf("%w", err)
	}
	return d, nil
}

// Observe counts p and returns a Hit if p made the count of its key exceed
// the threshold; the key then starts afresh. Packets without addresses, a time
// or what else the count and the key need, a certain port or a length, are not
// counted. It keeps nothing of p and allocates only for a Hit.
func (d *Detector) Observe(p *packet.Packet) *Hit {
	hit := d.observe(p)
	runtime.KeepAlive(d) // and with it its memory
	return hit
}

func (d *Detector) observe(p *packet.Packet) *Hit {
	d.stats.events.Add(1)
	if !d.countable(p) {
		d.stats.skipped.Add(1)
		return nil
	}
	if d.spec.Except != nil && d.spec.Except.Contains(p.Src) {
		d.stats.excepted.Add(1)
		return nil
	}
	now := p.Time.UnixNano()
	k := d.key(p)
	slot := d.slot(&k, now)
	if d.add(slot, now, p) <= d.spec.Over {
		return nil
	}
	hit := d.hit(slot, p)
	d.table.release(slot)
	d.stats.tracked.Add(-1)
	d.stats.hits.Add(1)
	return hit
}

func (d *Detector) countable(p *packet.Packet) bool {
	needsPort := d.spec.Count == DistinctDport || d.spec.Per.hasDport()
	needsDst := d.spec.Count == DistinctDst || d.spec.Per.hasDst()
	return p.Src.IsValid() && !p.Time.IsZero() &&
		(p.HasPorts || !needsPort) && (p.Dst.IsValid() || !needsDst) && (p.Length > 0 || d.spec.Count != Bytes)
}

// slot returns the place of k in the table, which it makes if need be.
func (d *Detector) slot(k *key, now int64) int {
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

// add counts a packet and returns the count.
func (d *Detector) add(slot int, now int64, p *packet.Packet) int64 {
	h := d.table.arrive(slot, now)
	var x thing
	switch d.spec.Count {
	case Events:
		d.sums.add(h, slot, now, 1)
		return h.count
	case Bytes:
		d.sums.add(h, slot, now, int64(p.Length))
		return h.count
	case DistinctDport:
		x = d.distinct.port(p.Dport)
	case DistinctDst:
		x = d.distinct.address(newAddress(p.Dst))
	case DistinctSrc:
		x = d.distinct.address(d.senders.of(p.Src))
	}
	d.distinct.add(h, slot, now, &x)
	return h.count
}
