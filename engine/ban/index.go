package ban

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// forever is when a ban without timeout ends.
const forever = time.Duration(1<<63 - 1)

// index remembers what is banned, so that duplicates are recognised without
// asking the kernel. It has no pointers and no reasons, to hold a million bans
// in tens of megabytes. It is safe for concurrent use, and nobody waits for
// longer than one of its shards is used.
type index struct {
	seed    maphash.Seed
	shards  [256]shard
	lengths [129]atomic.Int64 // how many targets have so many bits
	inForce [2][2]atomic.Int64
	tallied atomic.Pointer[tally] // nil where nobody wants it
}

type shard struct {
	mu sync.Mutex
	m  map[target]entry
}

// entry is a ban in force, in eight bytes: when it ends on the book's clock, in
// milliseconds, its author, an index into names, and whether that is a person.
type entry struct {
	ms     [6]byte
	by     uint8
	manual bool
}

// endless is the end of a ban without timeout.
const endless = 1<<48 - 1

func newEntry(until time.Duration, by uint8, manual bool) entry {
	e := entry{by: by, manual: manual}
	ms := uint64(endless)
	if until != forever {
		ms = min(uint64(max(until, 0)/time.Millisecond), endless-1)
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], ms)
	copy(e.ms[:], b[2:])
	return e
}

func (e entry) until() time.Duration {
	var b [8]byte
	copy(b[2:], e.ms[:])
	ms := binary.BigEndian.Uint64(b[:])
	if ms == endless {
		return forever
	}
	return time.Duration(ms) * time.Millisecond
}

func newIndex() *index {
	x := &index{seed: maphash.MakeSeed()}
	for i := range x.shards {
		x.shards[i].m = make(map[target]entry)
	}
	return x
}

func (x *index) shard(t target) *shard {
	return &x.shards[maphash.Comparable(x.seed, t)%uint64(len(x.shards))]
}

// count adds n to the figures that t and e belong to.
func (x *index) count(t target, e entry, n int64) {
	x.lengths[t.bits].Add(n)
	x.inForce[bit(t.family() == IPv6)][bit(e.manual)].Add(n)
	if y := x.tallied.Load(); y != nil {
		y.add(t, n)
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (x *index) put(t target, e entry) {
	s := x.shard(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.m[t]; ok {
		x.count(t, old, -1)
	}
	s.m[t] = e
	x.count(t, e, 1)
}

func (x *index) remove(t target) {
	s := x.shard(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.m[t]; ok {
		delete(s.m, t)
		x.count(t, old, -1)
	}
}

func (x *index) get(t target) (entry, bool) {
	if x.lengths[t.bits].Load() == 0 {
		return entry{}, false
	}
	s := x.shard(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.m[t]
	return e, ok
}

func (x *index) has(t target) bool {
	_, ok := x.get(t)
	return ok
}

// covering returns the ban that bans all of t for longest after now.
func (x *index) covering(t target, now time.Duration) (by target, e entry, ok bool) {
	for bits := range t.bits + 1 {
		if x.lengths[bits].Load() == 0 {
			continue
		}
		u := t.shorten(bits)
		if f, found := x.get(u); found && f.until() > now && (!ok || f.until() > e.until()) {
			by, e, ok = u, f, true
		}
	}
	return by, e, ok
}

// each calls fn for every ban, in no order. fn must not use the index.
func (x *index) each(fn func(target, entry)) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		for t, e := range s.m {
			fn(t, e)
		}
		s.mu.Unlock()
	}
}

// none reports whether there are no bans of the set's family.
func (x *index) none(s set) bool {
	n := int64(0)
	for i := range x.inForce[0] {
		n += x.inForce[bit(s.family() == IPv6)][i].Load()
	}
	return n == 0
}

// knownBan is a ban in the index.
type knownBan struct {
	target
	entry
}

// appendBans appends the bans that belong into a set.
func (s *shard) appendBans(bans []knownBan, into set) []knownBan {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, e := range s.m {
		if t.set() == into {
			bans = append(bans, knownBan{t, e})
		}
	}
	return bans
}

// sweep forgets the bans that have ended, and returns how many did and some of them, most at most.
func (x *index) sweep(now time.Duration, most int) (some []target, n int) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		for t, e := range s.m {
			if e.until() > now {
				continue
			}
			delete(s.m, t)
			x.count(t, e, -1)
			if n++; n <= most {
				some = append(some, t)
			}
		}
		s.mu.Unlock()
	}
	return some, n
}
