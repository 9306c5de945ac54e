package ban

import (
	"fmt"
	"net/netip"
	"time"
)

// maxOffenders bounds how many targets' offences are remembered.
const maxOffenders = 1 << 16

// Forget is how long after its last offence a target is as good as new: an address
// gets another owner some day.
const Forget = 90 * 24 * time.Hour

// Offence is what is remembered of a target that was banned.
type Offence struct {
	Target netip.Prefix
	Count  int       // bans, of which those made while the target was banned already count as one
	Last   time.Time // when the latest was made
}

// offence is an Offence in memory.
type offence struct {
	count int
	last  time.Duration // on the book's clock; negative for what was before the Book was opened
}

// offences counts how often each target was banned. Of the least recent offenders it
// forgets half at once when there are too many: the 32,768 latest are always remembered.
type offences struct {
	latest, earlier map[target]offence
	lengths         [129]bool // prefix lengths that were ever remembered
}

// count returns the offences of t, or, if it has more, of a prefix around it: who moves on
// inside of a prefix that was banned is no newcomer.
func (o *offences) count(t target, now time.Duration) int {
	most := 0
	for bits := range t.bits + 1 {
		if !o.lengths[bits] {
			continue
		}
		if f, ok := o.get(t.shorten(bits)); ok && now-f.last < Forget {
			most = max(most, f.count)
		}
	}
	return most
}

func (o *offences) get(t target) (offence, bool) {
	if f, ok := o.latest[t]; ok {
		return f, true
	}
	f, ok := o.earlier[t]
	return f, ok
}

// add notes the nth offence of t.
func (o *offences) add(t target, nth int, now time.Duration) { o.set(t, offence{nth, now}) }

// undo takes back one offence.
func (o *offences) undo(t target) {
	if f, ok := o.get(t); ok && f.count > 0 {
		f.count--
		o.set(t, f)
	}
}

func (o *offences) set(t target, f offence) {
	if _, there := o.latest[t]; !there && len(o.latest) >= maxOffenders/2 {
		o.latest, o.earlier = nil, o.latest
	}
	if o.latest == nil {
		o.latest = make(map[target]offence)
	}
	o.latest[t] = f
	o.lengths[t.bits] = true
}

// Remember takes past offences into the memory that ladders go by, as from a history on
// disk. Of what is remembered already, the higher count and the later time stand. Where
// there are too many, the last of the list are remembered; offences that are too old are not.
// Nothing is remembered if one of them is none.
func (b *Book) Remember(list []Offence) error {
	targets := make([]target, len(list))
	for i, f := range list {
		p, err := normalTarget(f.Target)
		if err == nil && f.Count <= 0 {
			err = fmt.Errorf("%s with %d offences", show(p), f.Count)
		}
		if err != nil {
			return fmt.Errorf("remember offences: %w", err)
		}
		targets[i] = targetOf(p)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now, wall := b.clock(), b.cfg.Now()
	for i, f := range list {
		last := now - max(0, wall.Sub(f.Last)) // none is later than now
		if now-last >= Forget {
			continue
		}
		if known, ok := b.offences.get(targets[i]); ok {
			f.Count, last = max(f.Count, known.count), max(last, known.last)
		}
		b.offences.set(targets[i], offence{f.Count, last})
	}
	return nil
}

// Offences returns what the book remembers, in no order.
func (b *Book) Offences() []Offence {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	var out []Offence
	list := func(of map[target]offence, but map[target]offence) {
		for t, f := range of {
			if _, newer := but[t]; !newer && f.count > 0 && now-f.last < Forget {
				out = append(out, Offence{t.prefix(), f.count, b.wall(f.last)})
			}
		}
	}
	list(b.offences.latest, nil)
	list(b.offences.earlier, b.offences.latest)
	return out
}
