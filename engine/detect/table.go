package detect

import (
	"hash/maphash"
	"math/bits"
	"time"
)

// ways is how many sources share a bucket.
const ways = 8

// table is a set-associative hash table: a source has its place among the ways
// slots of one bucket, so that finding, making and taking a place cost the same
// however full the table is. The hash is seeded, so nobody can aim at a bucket.
type table struct {
	seed    maphash.Seed
	buckets uint64
	heads   []head

	room  int     // events that a slot has room for
	times []int64 // in nanoseconds since 1970, room for each slot
	ports []byte  // for each slot room low bytes, then room high bytes; nil when ports are not told apart

	within int64 // an event counts while it is younger than this
	late   int64 // how far a packet may lag behind its source's newest
}

// head describes a slot. It lies apart from the events so that a bucket of heads
// spans few cache lines. The events are first to first+n of the slot's room,
// oldest first.
type head struct {
	key      key
	last     int64 // newest event
	first, n int32 // no events means that the slot is free
}

// slotState is what a slot was before it was claimed.
type slotState uint8

const (
	slotFree slotState = iota
	slotExpired
	slotLive
)

// roomFor returns the room that a slot needs to hold up to depth events. The
// quarter more makes dropping the oldest cheap: what is left moves to the front
// only when it has reached the end.
func roomFor(depth int) int { return depth + depth/4 }

func newTable(track, depth int, within time.Duration, distinct bool) table {
	room := roomFor(depth)
	t := table{
		seed:    maphash.MakeSeed(),
		buckets: uint64(track / ways),
		heads:   make([]head, track),
		room:    room,
		times:   make([]int64, track*room),
		within:  int64(within),
		late:    int64(min(within/10, time.Second)),
	}
	if distinct {
		t.ports = make([]byte, track*room*bytesPerPort)
	}
	return t
}

// bucket returns the first slot of k's bucket.
func (t *table) bucket(k key) int {
	b, _ := bits.Mul64(maphash.Bytes(t.seed, k[:]), t.buckets)
	return int(b) * ways
}

func (t *table) find(bucket int, k key) (slot int, ok bool) {
	for i, h := range t.heads[bucket : bucket+ways] {
		if h.n > 0 && h.key == k {
			return bucket + i, true
		}
	}
	return 0, false
}

// claim gives k a slot of its bucket: a free one, or that of the source that is
// least likely an offender.
func (t *table) claim(bucket int, k key, now int64) (slot int, was slotState) {
	slot = bucket
	for i := bucket; i < bucket+ways; i++ {
		if t.weaker(i, slot, now) {
			slot = i
		}
	}
	was = t.state(slot, now)
	t.heads[slot] = head{key: k, last: now}
	return slot, was
}

// weaker reports whether slot a is to be given up rather than b: free before
// expired before live, then the fewer events, then the longer silent. So a
// flood of forged sources, one packet each, displaces only its like.
func (t *table) weaker(a, b int, now int64) bool {
	x, y := &t.heads[a], &t.heads[b]
	if sx, sy := t.state(a, now), t.state(b, now); sx != sy {
		return sx < sy
	}
	if x.n != y.n {
		return x.n < y.n
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

// add puts an event into the window of a slot and returns how many it then
// holds. The caller releases the slot before there are more than it was made for.
func (t *table) add(slot int, now int64, port uint16) int {
	h := &t.heads[slot]
	if t.setBack(h, now) {
		*h = head{key: h.key, last: now}
	}
	h.last = max(h.last, now)
	t.expire(slot)
	if t.ports != nil && !t.forget(slot, now, port) {
		return int(h.n)
	}
	t.insert(slot, now, port)
	return int(h.n)
}

// expire drops the events that left the window.
func (t *table) expire(slot int) {
	h := &t.heads[slot]
	times, _ := t.window(slot)
	gone := 0
	for gone < len(times) && h.last-times[gone] >= t.within {
		gone++
	}
	h.first += int32(gone)
	h.n -= int32(gone)
}

// forget drops the earlier event of port, since only the latest counts. It
// reports false when the one held is later than now.
func (t *table) forget(slot int, now int64, port uint16) bool {
	times, ports := t.window(slot)
	i := ports.index(port)
	if i < 0 {
		return true
	}
	if times[i] > now {
		return false
	}
	copy(times[i:], times[i+1:])
	ports.move(i, i+1)
	t.heads[slot].n--
	return true
}

// insert puts an event in its place in time, which is the end unless it is late.
func (t *table) insert(slot int, now int64, port uint16) {
	h := &t.heads[slot]
	if int(h.first+h.n) == t.room {
		t.compact(slot)
	}
	h.n++
	times, ports := t.window(slot)
	i := len(times) - 1
	for i > 0 && times[i-1] > now {
		i--
	}
	copy(times[i+1:], times[i:])
	times[i] = now
	if t.ports != nil {
		ports.move(i+1, i)
		ports.set(i, port)
	}
}

// compact moves a slot's events to the front of its room.
func (t *table) compact(slot int) {
	h := &t.heads[slot]
	times, ports := t.window(slot)
	h.first = 0
	toTimes, toPorts := t.window(slot)
	copy(toTimes, times)
	toPorts.copy(ports)
}

// window returns the events of a slot; ports are empty when they are not told apart.
func (t *table) window(slot int) ([]int64, ports) {
	h := &t.heads[slot]
	from, n := int(h.first), int(h.n)
	times := t.times[slot*t.room+from:][:n]
	if t.ports == nil {
		return times, ports{}
	}
	low := t.ports[slot*t.room*bytesPerPort+from:]
	return times, ports{low: low[:n], high: low[t.room:][:n]}
}

// release frees a slot.
func (t *table) release(slot int) { t.heads[slot].n = 0 }
