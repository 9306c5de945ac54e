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
// hosts, thousands at once are fastest, those of one kernel set behind each other.
func (r *Restoration) Add(ctx context.Context, bans []Ban) (int, error) {
	b := r.book
	b.mu.Lock()
	defer b.mu.Unlock()
	p := part{Restoration: r, bans: bans, now: b.clock(), wall: b.cfg.Now(), indexed: b.adopted.Load() || b.adoption != nil}
	n, err := p.load()
	b.recount = true
	if err == nil {
		err = b.write(ctx, change{put: p.rest, quiet: true})
	}
	if err != nil {
		return n, fmt.Errorf("restore bans: %w", err)
	}
	return n + len(p.rest), nil
}

// part is an Add under way. The caller holds Book.mu.
type part struct {
	*Restoration
	bans []Ban // that are left
	now  time.Duration
	wall time.Time

	next held // goes into a set of hosts that holds nothing of it
	more bool // there is a next
	rest []held
	said remark

	// indexed is false while the Book asks the kernel, as one that nobody runs always does: the index need not know then.
	indexed bool
	loaded  []target // of the load under way, what the index knows
}

// load puts back what is new in sets of hosts, and returns how many. What is to be written otherwise is in p.rest then.
func (p *part) load() (n int, err error) {
	b := p.book
	for err = p.advance(); err == nil && p.more; {
		s, taken := p.next.set(), 0
		p.loaded = p.loaded[:0]
		var stop error
		err = b.nft.Load(core(), string(s), func(yield func(nft.Element) bool) {
			for stop == nil && p.more && p.next.set() == s && yield(p.element()) {
				taken++
				stop = p.advance()
			}
		})
		if err != nil {
			for _, t := range p.loaded {
				b.index.remove(t)
			}
			return n, err
		}
		n, err = n+taken, stop
	}
	return n, err
}

// element is that of p.next.
func (p *part) element() nft.Element {
	b, h := p.book, &p.next
	if p.indexed {
		b.index.put(h.target, b.entry(h.note, h.until))
		p.loaded = append(p.loaded, h.target)
	}
	return h.elementSaying(p.said.comment(&h.note), h.target.element(), h.until, p.now)
}

// remark is the comment of one ban, for the next ones with the same reason to share it.
type remark struct {
	by, why, text string
	origin        Origin
}

func (r *remark) comment(n *note) string {
	if r.text == "" || r.by != n.by || r.why != n.why || r.origin != n.origin {
		*r = remark{by: n.by, why: n.why, origin: n.origin, text: n.comment()}
	}
	return r.text
}

// advance finds the next ban that goes into a set of hosts, and keeps those that do not.
func (p *part) advance() error {
	b := p.book
	for p.more = false; len(p.bans) > 0 && !p.more; {
		h, ok := b.heldAgain(&p.bans[0], p.now, p.wall)
		p.bans = p.bans[1:]
		if !ok {
			continue
		}
		s := h.set()
		if !p.empty[s] && !b.adopted.Load() {
			if err := b.ask(h.target, p.now); err != nil {
				return err
			}
		}
		there, banned := b.index.get(h.target)
		switch {
		case !banned && !s.net():
			p.next, p.more = h, true
		case !banned, p.again && sameEnd(there.until(), h.until):
			p.rest = append(p.rest, h)
		}
	}
	return nil
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
