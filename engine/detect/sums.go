package detect

// sums holds windows whose events are added up: for each slot a list of
// entries, oldest first. An entry is one event or, where the window has parts,
// the sum of the events of one part.
type sums struct {
	room   int     // entries that a slot has room for
	within int64   // an entry counts while its oldest event is younger than this
	part   int64   // parts begin at the multiples of this many nanoseconds; 0 when there are none
	oldest []int64 // of each entry, the time of its oldest event; room for each slot
	totals []int64 // of each entry; nil when each is one event
}

// roomFor returns the room that a slot needs to hold up to depth entries. The
// quarter more makes dropping the oldest cheap: what is left moves to the front
// only when it has reached the end.
func roomFor(depth int) int { return depth + depth/4 }

// sumsBytes returns what the window of one slot takes.
func sumsBytes(depth int, parts bool) int {
	if parts {
		return roomFor(depth) * 16
	}
	return roomFor(depth) * 8
}

func newSums(m *memory, track int, s Spec) *sums {
	w := &sums{room: roomFor(s.depth()), within: int64(s.Within), part: int64(s.part())}
	w.oldest = room[int64](m, track*w.room)
	if w.part > 0 {
		w.totals = room[int64](m, track*w.room)
	}
	return w
}

// add puts an event of a weight into the window of a slot. The caller releases
// the slot before there are more entries than it was made for.
func (w *sums) add(h *head, slot int, now, weight int64) {
	w.expire(h, slot)
	h.count += weight
	i, part := int(h.n), w.partOf(now)
	oldest, totals := w.window(h, slot)
	for i > 0 && w.partOf(oldest[i-1]) > part { // late
		i--
	}
	if w.part > 0 && i > 0 && w.partOf(oldest[i-1]) == part {
		oldest[i-1] = min(oldest[i-1], now)
		totals[i-1] += weight
		return
	}
	w.insert(h, slot, i, now, weight)
}

// partOf returns the number of the part that a time is in: without parts, the time itself.
func (w *sums) partOf(at int64) int64 {
	if w.part == 0 {
		return at
	}
	return at / w.part
}

// expire drops the entries that left the window.
func (w *sums) expire(h *head, slot int) {
	oldest, totals := w.window(h, slot)
	gone := 0
	for gone < len(oldest) && h.last-oldest[gone] >= w.within {
		if totals != nil {
			h.count -= totals[gone]
		} else {
			h.count--
		}
		gone++
	}
	h.first += int32(gone)
	h.n -= int32(gone)
}

// insert makes an entry the i-th.
func (w *sums) insert(h *head, slot, i int, now, weight int64) {
	if int(h.first+h.n) == w.room {
		w.compact(h, slot)
	}
	h.n++
	oldest, totals := w.window(h, slot)
	copy(oldest[i+1:], oldest[i:])
	oldest[i] = now
	if totals != nil {
		copy(totals[i+1:], totals[i:])
		totals[i] = weight
	}
}

// compact moves a slot's entries to the front of its room.
func (w *sums) compact(h *head, slot int) {
	oldest, totals := w.window(h, slot)
	h.first = 0
	toOldest, toTotals := w.window(h, slot)
	copy(toOldest, oldest)
	copy(toTotals, totals)
}

// window returns the entries of a slot.
func (w *sums) window(h *head, slot int) (oldest, totals []int64) {
	from := slot*w.room + int(h.first)
	oldest = w.oldest[from:][:h.n]
	if w.totals != nil {
		totals = w.totals[from:][:h.n]
	}
	return oldest, totals
}

// start returns the time of the oldest event counted.
func (w *sums) start(h *head, slot int) int64 {
	oldest, _ := w.window(h, slot)
	return oldest[0]
}
