package ban

import "sync"

// tally is how much of the prefixes of each share is banned. Addresses that several bans cover count for each.
type tally struct {
	shares []Share

	mu sync.Mutex
	of []map[target]int64 // by share
}

func newTally(shares []Share) *tally {
	t := &tally{shares: shares, of: make([]map[target]int64, len(shares))}
	for i := range t.of {
		t.of[i] = make(map[target]int64)
	}
	return t
}

// add notes that there are n more bans of t.
func (y *tally) add(t target, n int64) {
	for i, s := range y.shares {
		p, size, ok := s.parent(t)
		if !ok {
			continue
		}
		y.mu.Lock()
		if y.of[i][p] += n * size; y.of[i][p] <= 0 {
			delete(y.of[i], p)
		}
		y.mu.Unlock()
	}
}

// exceeded returns a share that one more ban of t would exceed.
func (y *tally) exceeded(t target) (Share, bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for i, s := range y.shares {
		if p, size, ok := s.parent(t); ok && y.of[i][p]+size > s.most() {
			return s, true
		}
	}
	return Share{}, false
}

// tally counts what there is of each share, from now on.
func (x *index) tally(shares []Share) {
	for i := range x.shards { // who changes a shard counts while it is locked
		x.shards[i].mu.Lock()
		defer x.shards[i].mu.Unlock()
	}
	if len(shares) == 0 {
		x.tallied.Store(nil)
		return
	}
	y := newTally(shares)
	for i := range x.shards {
		for t := range x.shards[i].m {
			y.add(t, 1)
		}
	}
	x.tallied.Store(y)
}

// exceeded returns a share that a ban of t would exceed.
func (x *index) exceeded(t target) (Share, bool) {
	if y := x.tallied.Load(); y != nil {
		return y.exceeded(t)
	}
	return Share{}, false
}
