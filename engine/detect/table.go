package detect

import (
	"math/bits"
	"time"
)

// ways is how many keys share a bucket.
const ways = 8

// table is a set-associative hash table: a key has its place among the ways
// slots of one bucket, so that finding, making and taking a place cost the same
// however full the table is. The hash is seeded, so nobody can aim at a bucket.
type table struct {
	seed    seed
	buckets uint64

	heads []head
	twos  []address // the other half of the keys that are pairs; otherwise nil

	within int64 // an event counts while it is younger than this
	late   int64 // how far a packet may lag behind its key's newest
}

// head describes a slot. It lies apart from the window so that a bucket of heads
// spans few cache lines.
type head struct {
	one   address
	last  int64 // newest event
	count int64 // what is counted in the window
	first int32 // where the window's oldest entry is
	n     int32 // entries in the window; none means that the slot is free
}

// slotState is what a slot was before it was claimed.
type slotState uint8

const (
	slotFree slotState = iota
	slotExpired
	slotLive
)

func newTable(m *memory, track int, within time.Duration, pairs bool) table {
	t := table{
		seed:    newSeed(),
		buckets: uint64(track / ways),
		heads:   room[head](m, track),
		within:  int64(within),
		late:    int64(min(within/10, time.Second)),
	}
	if pairs {
		t.twos = room[address](m, track)
	}
	return t
}

// bucket returns the first slot of k's bucket.
func (t *table) bucket(k *key) int {
	hash := t.seed.hash(k.one)
	if t.twos != nil {
		hash = mix(hash, t.seed.hash(k.two))
	}
	b, _ := bits.Mul64(hash, t.buckets)
	return int(b) * ways
}

func (t *table) find(bucket int, k *key) (slot int, ok bool) {
	heads := t.heads[bucket : bucket+ways]
	for i := range heads {
		if h := &heads[i]; h.one == k.one && h.n > 0 && (t.twos == nil || t.twos[bucket+i] == k.two) {
			return bucket + i, true
		}
	}
	return 0, false
}

// claim gives k a slot of its bucket: a free one, or that of the key that is
// least likely an offender.
func (t *table) claim(bucket int, k *key, now int64) (slot int, was slotState) {
	slot, was = bucket, t.state(bucket, now)
	for i := bucket + 1; i < bucket+ways; i++ {
		if s := t.state(i, now); s < was || s == was && t.weaker(i, slot) {
			slot, was = i, s
		}
	}
	if t.twos != nil {
		t.twos[slot] = k.two
	}
	t.heads[slot] = head{one: k.one, last: now}
	return slot, was
}

// weaker reports which of two slots of the same state is to be given up: that
// with the lower count, then the longer silent. With free going before expired
// before live, a flood of forged sources, one packet each, displaces only its like.
func (t *table) weaker(a, b int) bool {
	x, y := &t.heads[a], &t.heads[b]
	if x.count != y.count {
		return x.count < y.count
	}
	return x.last < y.last
}

func (t *table) state(slot int, now int64) slotState {
	h := &t.heads[slot]
	switch {
	case h.n == 0:
		return slotFree
	case now-h.last >= t.within, t.setBack(h, now):
		return slotExpired
	}
	return slotLive
}

// setBack reports whether the clock was set back since h's newest event.
func (t *table) setBack(h *head, now int64) bool { return h.last-now > t.late }

// arrive notes the time of an event of a slot, which starts afresh where the
// clock was set back.
func (t *table) arrive(slot int, now int64) *head {
	h := &t.heads[slot]
	if t.setBack(h, now) {
		*h = head{one: h.one, last: now}
	}
	h.last = max(h.last, now)
	return h
}

// release frees a slot.
func (t *table) release(slot int) { t.heads[slot].n = 0 }
