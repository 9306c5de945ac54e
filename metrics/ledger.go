package metrics

import "strings"

// ledger makes counters that only grow out of those of a generation, which start
// at zero with it and come back at their old value when a trial is rolled back.
// Prometheus would take that for a flood of new packets.
type ledger struct {
	generation uint64
	settled    bool                        // the generation was not on trial
	last       map[uint64]map[entry]uint64 // by generation: the value seen last
	totals     map[entry]uint64
}

// entry is one series.
type entry struct {
	name   string
	labels string
}

func newLedger() *ledger {
	return &ledger{last: map[uint64]map[entry]uint64{}, totals: map[entry]uint64{}}
}

// open says which generation the values that follow belong to.
func (l *ledger) open(generation uint64, onTrial bool) {
	// Only the end of a trial brings an older generation back. A snapshot taken at
	// that very moment may see the end of the trial before it sees the older
	// generation, so forget that only when it has stayed away a second time.
	if generation == l.generation && l.settled {
		l.forgetAllBut(generation)
	}
	l.generation, l.settled = generation, !onTrial
	if l.last[generation] == nil {
		l.last[generation] = map[entry]uint64{}
	}
}

func (l *ledger) forgetAllBut(generation uint64) {
	for g := range l.last {
		if g != generation {
			delete(l.last, g)
		}
	}
	for e := range l.totals {
		if _, kept := l.last[generation][e]; !kept {
			delete(l.totals, e)
		}
	}
}

// total returns how much a counter has grown in all generations together.
func (l *ledger) total(name string, value uint64, labels []string) uint64 {
	e := entry{name, strings.Join(labels, "\x00")}
	before := l.last[l.generation][e]
	if value < before { // the policy was loaded anew
		before = 0
	}
	l.last[l.generation][e] = value
	l.totals[e] += value - before
	return l.totals[e]
}
