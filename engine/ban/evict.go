package ban

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"moonlatch/engine/nft"
)

// evictAtOnce is how many more bans than need be make room at once where there are very many: to find
// those that end soonest takes a look at all.
const evictAtOnce = 1024

// changeFor returns the change that decisions lead to. Where that makes more bans than the brake allows, those
// of policies that end soonest have to go, or are refused if they are new. The caller holds b.mu.
func (b *Book) changeFor(decisions []decision) change {
	lift := b.makeRoom(decisions)
	c := change{lift: lift}
	for _, d := range decisions {
		if d.err == nil && !d.needless {
			c.put = append(c.put, d.put)
		}
	}
	return c
}

// makeRoom refuses new bans, and returns what to lift for the others.
func (b *Book) makeRoom(decisions []decision) (lift []target) {
	var fresh []*decision
	for i := range decisions {
		if d := &decisions[i]; d.err == nil && !d.needless && !b.index.has(d.put.target) {
			fresh = append(fresh, d)
		}
	}
	excess := b.index.size() + len(fresh) - b.brake.Most
	if b.brake.Most == 0 || excess <= 0 || len(fresh) == 0 {
		return nil
	}
	slices.SortFunc(fresh, func(x, y *decision) int { return cmp.Compare(x.weight(), y.weight()) })
	more := min(evictAtOnce, b.brake.Most/64)
	old := b.index.weakest(excess+more, fresh[len(fresh)-1].weight(), nil)
	for ; excess > 0; excess-- {
		switch {
		case len(old) > len(lift) && (len(fresh) == 0 || old[len(lift)].end < fresh[0].weight()):
			lift = append(lift, old[len(lift)].target)
		case len(fresh) > 0 && fresh[0].request.Origin == Local:
			fresh[0].err = fmt.Errorf("%w: there are %d bans, and none of them ends sooner", nft.ErrFull, b.brake.Most)
			fresh = fresh[1:]
		}
	}
	if len(lift) > 0 && len(fresh) > 0 { // and some more, so that the next ones need not look
		for ; more > 0 && len(lift) < len(old) && old[len(lift)].end < fresh[0].weight(); more-- {
			lift = append(lift, old[len(lift)].target)
		}
	}
	return lift
}

// weight is when a new ban ends, as far as evicting it is concerned: a person's is the last to go.
func (d *decision) weight() time.Duration {
	if d.request.Origin != Local {
		return forever
	}
	return d.put.until
}

// evicted notes that bans were lifted to make room for others. The caller holds b.mu.
func (b *Book) evicted(targets []target, by Request) {
	b.forget(targets)
	b.ended(targets, len(targets), UnbannedEvicted)
	b.held.add(UnbannedEvicted, by, fmt.Errorf("%w: bans that end soonest make room", nft.ErrFull), len(targets))
}

// writeAlone writes one ban of several that were refused together. Where its set is full, it takes the place of a weaker one.
func (b *Book) writeAlone(ctx context.Context, d decision) error {
	err := b.write(ctx, change{put: []held{d.put}})
	if !errors.Is(err, nft.ErrFull) || b.brake.Most == 0 {
		return err
	}
	into := d.put.set()
	old := b.index.weakest(evictAtOnce/64, d.weight(), &into)
	if len(old) == 0 {
		return err
	}
	c := change{put: []held{d.put}}
	for _, o := range old {
		c.lift = append(c.lift, o.target)
	}
	if err = b.write(ctx, c); err == nil {
		b.evicted(c.lift, d.request)
	}
	return err
}

// size is how many bans there are, of which some may have ended a moment ago.
func (x *index) size() int {
	n := int64(0)
	for i := range x.inForce {
		for j := range x.inForce[i] {
			n += x.inForce[i][j].Load()
		}
	}
	return int(n)
}

// weakest returns the n bans of policies that end soonest, and before a given time, in that order: those of a set, or of all.
func (x *index) weakest(n int, before time.Duration, of *set) []ending {
	byEnd := func(a, b ending) int { return cmp.Compare(a.end, b.end) }
	var found []ending
	x.each(func(t target, e entry) {
		end := e.until()
		if e.manual || end >= before || of != nil && t.set() != *of {
			return
		}
		if found = append(found, ending{t, end}); len(found) == 2*n+evictAtOnce {
			slices.SortFunc(found, byEnd)
			found = found[:n]
			before = found[n-1].end
		}
	})
	slices.SortFunc(found, byEnd)
	return found[:min(n, len(found))]
}

// ending is a ban and when it ends.
type ending struct {
	target
	end time.Duration
}
