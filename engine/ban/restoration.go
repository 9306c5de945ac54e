package ban

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"moonlatch/engine/nft"
)

// A Restoration puts bans back that were in force before, with the time that is left of
// them. It is for one goroutine; meanwhile the Book may be used by others.
type Restoration struct {
	book  *Book
	empty map[set]bool // what held nothing when it began: there is nobody to ask the kernel for
	again bool
}

// Restore begins a Restoration. With again set, bans that are in force get back what is
// remembered of them, as after Mend, which knows no reasons.
func (b *Book) Restore(again bool) (*Restoration, error) {
	r := &Restoration{book: b, empty: make(map[set]bool), again: again}
	for _, s := range bannedSets() {
		info, err := b.nft.SetInfo(core(), string(s))
		if err != nil && !errors.Is(err, nft.ErrNotExist) {
			return nil, fmt.Errorf("restore bans: %w", err)
		}
		r.empty[s] = info.Count == 0
	}
	return r, nil
}

// Add puts bans back, and returns how many. Config.Changed is not told of them. It leaves out those that have ended, those
// of what is protected, of what cannot be banned, and of what is banned already. Of
// hosts, thousands at once are fastest.
func (r *Restoration) Add(ctx context.Context, bans []Ban) (int, error) {
	b := r.book
	b.mu.Lock()
	defer b.mu.Unlock()
	fresh, rest, err := r.sort(bans)
	if err != nil {
		return 0, fmt.Errorf("restore bans: %w", err)
	}
	n := 0
	for s, list := range fresh {
		if err := b.nft.Load(core(), string(s), b.loading(list)); err != nil {
			for _, h := range list {
				b.index.remove(h.target)
			}
			return n, fmt.Errorf("restore bans: %w", err)
		}
		n += len(list)
	}
	if err := b.write(ctx, change{put: rest, quiet: true}); err != nil {
		return n, fmt.Errorf("restore bans: %w", err)
	}
	return n + len(rest), nil
}

// sort returns what is to be put back: into sets that hold nothing of it, and the rest.
func (r *Restoration) sort(bans []Ban) (fresh map[set][]held, rest []held, err error) {
	b := r.book
	fresh = make(map[set][]held)
	now, wall := b.clock(), b.cfg.Now()
	for i := range bans {
		h, ok := b.heldAgain(&bans[i], now, wall)
		if !ok {
			continue
		}
		s := h.set()
		if !r.empty[s] && !b.adopted.Load() {
			if err := b.ask(h.target, now); err != nil {
				return nil, nil, err
			}
		}
		there, banned := b.index.get(h.target)
		switch {
		case !banned && !s.net():
			fresh[s] = append(fresh[s], h)
		case !banned, r.again && sameEnd(there.until(), h.until):
			rest = append(rest, h)
		}
	}
	return fresh, rest, nil
}

// heldAgain is a ban as the book is to hold it, if it is to.
func (b *Book) heldAgain(ban *Ban, now time.Duration, wall time.Time) (held, bool) {
	p, err := normalTarget(ban.Target)
	if err != nil || b.guarded.Load().all.OverlapsPrefix(p) {
		return held{}, false
	}
	n := note{by: ban.By, why: ban.Why, origin: ban.Origin, age: max(0, wall.Sub(ban.Since))}
	until := forever
	if !ban.Until.IsZero() {
		// No more than the whole of it, where the clock is behind: not every machine has one that runs while it is off.
		until = now + min(ban.Until.Sub(wall), ban.Until.Sub(ban.Since), MaxTime)
	}
	return held{targetOf(p), n, until}, until > now
}

// sameEnd reports whether two bans end together, but for what clocks and rounding make of it.
func sameEnd(x, y time.Duration) bool { return x == y || (x-y).Abs() < 2*time.Second }

// loading yields the elements of bans of hosts, which the index knows from then on.
func (b *Book) loading(list []held) iter.Seq[nft.Element] {
	return func(yield func(nft.Element) bool) {
		now := b.clock()
		for _, h := range list {
			if !yield(h.note.element(h.target.element(), h.until, now)) {
				return
			}
			b.index.put(h.target, b.entry(h.note, h.until))
		}
	}
}

// InForce is how many bans the book knows of, without asking the kernel. It knows all once Run has adopted them.
func (b *Book) InForce() int { return b.index.size() }

// Knows reports whether the book knows of a ban of exactly this target.
func (b *Book) Knows(target netip.Prefix) bool {
	e, ok := b.index.get(targetOf(target))
	return ok && e.until() > b.clock()
}

// Targets yields the targets of all bans that the book knows of, some thousands at a time at most.
func (b *Book) Targets() iter.Seq[[]netip.Prefix] {
	return func(yield func([]netip.Prefix) bool) {
		for i := range b.index.shards {
			if list := b.index.shards[i].targets(); len(list) > 0 && !yield(list) {
				return
			}
		}
	}
}

func (s *shard) targets() []netip.Prefix {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]netip.Prefix, 0, len(s.m))
	for t := range s.m {
		out = append(out, t.prefix())
	}
	return out
}

// Tell has Config.Changed told of the bans of some targets as they are now: what is in force as made, the rest
// as lifted. It is for who keeps the bans elsewhere and has missed changes.
func (b *Book) Tell(targets []netip.Prefix) {
	for part := range slices.Chunk(targets, 256) {
		b.tellAgain(part)
	}
}

func (b *Book) tellAgain(targets []netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cfg.Changed == nil {
		return
	}
	var c Change
	for _, p := range targets {
		t := targetOf(p)
		e, ok := b.index.get(t)
		if !ok || e.until() <= b.clock() {
			c.Lifted = append(c.Lifted, p)
			continue
		}
		h := held{t, b.noteOf(t), e.until()}
		c.Made = append(c.Made, Made{Ban: b.ban(h), Trial: b.onTrial(t)})
	}
	b.cfg.Changed(c)
}

// onTrial reports whether the end of the trial may lift a ban. The caller holds b.mu.
func (b *Book) onTrial(t target) bool { return b.trial != nil && b.trial.bans[t].written }
