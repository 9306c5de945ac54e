package detect

import (
	"bytes"
	"unsafe"
)

// distinct holds windows of different things, each with the time of its latest
// event: for each slot a table of entries in any order, chained by time. The
// chain is a ring; the oldest entry is the head's first, and the one before it
// is the newest.
type distinct struct {
	room   int // entries that a slot has room for
	within int64
	seed   seed
	links  []link
	tags   []byte    // of each entry, two bytes of its hash; for each slot first the one of each, then the other
	values []address // nil where a link's short says it all
}

// link is an entry.
type link struct {
	at           int64
	older, newer uint16
	short        uint32 // a port, or the hash of an address
}

// thing is what is told apart.
type thing struct {
	value address // zero for a port
	short uint32
	tag   [2]byte
}

// distinctBytes returns what the window of one slot takes.
func distinctBytes(depth int, addresses bool) int {
	n := int(unsafe.Sizeof(link{})) + 2
	if addresses {
		n += int(unsafe.Sizeof(address{}))
	}
	return depth * n
}

func newDistinct(m *memory, track int, s Spec) *distinct {
	w := &distinct{room: s.depth(), within: int64(s.Within), seed: newSeed()}
	w.links = room[link](m, track*w.room)
	w.tags = room[byte](m, track*w.room*2)
	if s.Count.addresses() {
		w.values = room[address](m, track*w.room)
	}
	return w
}

func (w *distinct) port(p uint16) thing {
	return thing{short: uint32(p), tag: tag(w.seed.hash(address{lo: uint64(p)}))}
}

func (w *distinct) address(a address) thing {
	hash := w.seed.hash(a)
	return thing{value: a, short: uint32(hash >> 32), tag: tag(hash)}
}

func tag(hash uint64) [2]byte { return [2]byte{byte(hash), byte(hash >> 8)} }

// add notes an event of x in the window of a slot. The caller releases the slot
// before there are more entries than it was made for.
func (w *distinct) add(h *head, slot int, now int64, x *thing) {
	links := w.slot(slot)
	for h.n > 0 && h.last-links[h.first].at >= w.within {
		w.remove(h, slot, int(h.first))
	}
	i := w.find(h, slot, x)
	switch {
	case i < 0:
		i = int(h.n)
		first, second := w.tagsOf(slot)
		first[i], second[i] = x.tag[0], x.tag[1]
		if w.values != nil {
			w.values[slot*w.room+i] = x.value
		}
		h.n++
	case links[i].at >= now: // only the latest counts
		return
	default:
		unchain(h, links, i)
	}
	links[i] = link{at: now, short: x.short}
	chain(h, links, i)
	h.count = int64(h.n)
}

// find returns where x is, or -1. bytes.IndexByte compares tens of tags at a time.
func (w *distinct) find(h *head, slot int, x *thing) int {
	links, from := w.slot(slot), slot*w.room
	first, second := w.tagsOf(slot)
	first = first[:h.n]
	for i := 0; ; i++ {
		next := bytes.IndexByte(first[i:], x.tag[0])
		if next < 0 {
			return -1
		}
		i += next
		if second[i] == x.tag[1] && links[i].short == x.short && (w.values == nil || w.values[from+i] == x.value) {
			return i
		}
	}
}

func (w *distinct) tagsOf(slot int) (first, second []byte) {
	tags := w.tags[slot*w.room*2:][:w.room*2]
	return tags[:w.room], tags[w.room:]
}

// remove drops an entry; the last one takes its place in the table.
func (w *distinct) remove(h *head, slot, i int) {
	links, from := w.slot(slot), slot*w.room
	unchain(h, links, i)
	h.n--
	last := int(h.n)
	if i == last {
		return
	}
	first, second := w.tagsOf(slot)
	first[i], second[i] = first[last], second[last]
	if w.values != nil {
		w.values[from+i] = w.values[from+last]
	}
	links[i] = links[last]
	if h.n == 1 {
		links[i].older, links[i].newer = uint16(i), uint16(i)
	}
	links[links[i].older].newer = uint16(i)
	links[links[i].newer].older = uint16(i)
	if int(h.first) == last {
		h.first = int32(i)
	}
}

// chain puts entry i into its place in time, which is the newest unless it is
// late. It is one of h.n already.
func chain(h *head, links []link, i int) {
	if h.n == 1 {
		links[i].older, links[i].newer = uint16(i), uint16(i)
		h.first = int32(i)
		return
	}
	before := int(links[h.first].older)
	for links[before].at > links[i].at { // late
		if before == int(h.first) {
			before = int(links[before].older)
			h.first = int32(i)
			break
		}
		before = int(links[before].older)
	}
	after := links[before].newer
	links[i].older, links[i].newer = uint16(before), after
	links[before].newer, links[after].older = uint16(i), uint16(i)
}

func unchain(h *head, links []link, i int) {
	older, newer := links[i].older, links[i].newer
	links[older].newer, links[newer].older = newer, older
	if int(h.first) == i {
		h.first = int32(newer)
	}
}

func (w *distinct) slot(slot int) []link { return w.links[slot*w.room:][:w.room] }

// start returns the time of the oldest event counted.
func (w *distinct) start(h *head, slot int) int64 { return w.slot(slot)[h.first].at }

// latest calls f with where the latest n entries are, the newest first.
func (w *distinct) latest(h *head, slot, n int, f func(i int, l link)) {
	links := w.slot(slot)
	i := links[h.first].older
	for range min(n, int(h.n)) {
		f(slot*w.room+int(i), links[i])
		i = links[i].older
	}
}
