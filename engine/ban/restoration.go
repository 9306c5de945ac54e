package ban

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"go4.org/netipx"

	"moonlatch/engine/nft"
)

// A Restoration puts bans back that were in force before, with the time that is left of
// them. It is for one goroutine; meanwhile the Book may be used by others.
type Restoration struct {
	book  *Book
	empty map[set]bool // what held nothing when it began: there is nobody to ask the kernel for
	again bool
	spare *netipx.IPSet

	spared  int
	example netip.Prefix
}

// Restore begins a Restoration. With again set, bans that are in force get back what is
// remembered of them, as after Mend, which knows no reasons. What overlaps with the spared is treated as what is protected.
func (b *Book) Restore(again bool, spared []netip.Prefix) (*Restoration, error) {
	spare, err := protectedSet(spared)
	if err != nil {
		return nil, fmt.Errorf("restore bans: %w", err)
	}
	r := &Restoration{book: b, empty: make(map[set]bool), again: again, spare: spare}
	for _, s := range bannedSets() {
		info, err := b.nft.SetInfo(core(), string(s))
		if err != nil && !errors.Is(err, nft.ErrNotExist) {
			return nil, fmt.Errorf("restore bans: %w", err)
		}
		r.empty[s] = info.Count == 0
	}
	return r, nil
}

// Spared tells how many bans were left out because of who is protected, and the target of one of them.
func (r *Restoration) Spared() (n int, example netip.Prefix) { return r.spared, r.example }

// Add puts bans back, and returns how many. next returns some of them, which are done with when it is called again, and none
// after the last ones. Config.Changed is not told of them. Add leaves out those that have ended, those of what is protected, of
// what cannot be banned, and of what is banned already. Of hosts, thousands at once are fastest, those of one kernel
// set behind each other.
//
// Where the Book is run, those who wait for it are served each time before next is called.
func (r *Restoration) Add(ctx context.Context, next func() []Ban) (n int, err error) {
	for bans := next(); len(bans) > 0; bans = next() {
		put, err := r.add(ctx, bans, next)
		n += put
		if err != nil {
			return n, fmt.Errorf("restore bans: %w", err)
		}
	}
	return n, nil
}

func (r *Restoration) add(ctx context.Context, bans []Ban, next func() []Ban) (int, error) {
	b := r.book
	b.mu.Lock()
	defer b.mu.Unlock()
	spare, err := union(b.guarded.Load().all, r.spare)
	if err != nil {
		return 0, err
	}
	p := part{Restoration: r, spare: spare, indexed: b.adopted.Load() || b.adoption != nil}
	p.begin(bans)
	if !p.indexed {
		p.nextBans = next
	}
	n, err := p.load()
	b.recount = true
	if err == nil {
		err = b.write(ctx, change{put: p.rest, quiet: true})
	}
	if err != nil {
		return n, err
	}
	return n + len(p.rest), nil
}

// part is an add under way. The caller holds Book.mu.
type part struct {
	*Restoration
	bans     []Ban        // that are left
	nextBans func() []Ban // and after these; nil if these are all
	now      time.Duration
	wall     int64 // the time of day, in milliseconds
	spare    *netipx.IPSet

	next held // goes into a set of hosts that holds nothing of it
	into set  // which is this one
	asks bool // whether the kernel is to be asked what that holds
	more bool // there is a next
	rest []held
	said remark

	// indexed is false while the Book asks the kernel, as one that nobody runs always does: the index need not know then.
	indexed bool
	loaded  []target // of the load under way, what the index knows
}

// begin takes bans as they are now.
func (p *part) begin(bans []Ban) {
	p.bans, p.now, p.wall = bans, p.book.clock(), p.book.cfg.Now().UnixMilli()
}

// load puts back what is new in sets of hosts, and returns how many. What is to be written otherwise is in p.rest then.
func (p *part) load() (n int, err error) {
	b := p.book
	for err = p.advance(); err == nil && p.more; {
		s, added := p.into, 0
		p.loaded = p.loaded[:0]
		var stop error
		added, err = b.nft.Load(core(), string(s), func(yield func(nft.Element) bool) {
			for stop == nil && p.more && p.into == s && yield(p.element()) {
				stop = p.advance()
			}
		})
		n += added
		if err != nil {
			for _, t := range p.loaded[added:] {
				b.index.remove(t)
			}
			return n, err
		}
		err = stop
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
	for p.more = false; !p.more; {
		if len(p.bans) == 0 && p.nextBans != nil {
			p.begin(p.nextBans())
		}
		if len(p.bans) == 0 {
			return nil
		}
		ban := &p.bans[0]
		p.bans = p.bans[1:]
		if !p.hold(ban) {
			continue
		}
		if s := p.next.set(); s != p.into {
			p.into, p.asks = s, !p.empty[s] && !b.adopted.Load()
		}
		if p.asks {
			if err := b.ask(p.next.target, p.now); err != nil {
				return err
			}
		}
		there, banned := b.index.get(p.next.target)
		switch {
		case !banned && !p.into.net():
			p.more = true
		case !banned, p.again && sameEnd(there.until(), p.next.until):
			p.rest = append(p.rest, p.next)
		}
	}
	return nil
}

// hold makes a ban the next one, if it is to be in force.
func (p *part) hold(ban *Ban) bool {
	target, err := normalTarget(ban.Target)
	if err != nil {
		return false
	}
	const most = int64(MaxTime / time.Millisecond)
	since, until := ban.Since.UnixMilli(), forever
	if !ban.Until.IsZero() {
		// No more than the whole of it, where the clock is behind: not every machine has one that runs while it is off.
		ends := ban.Until.UnixMilli()
		left := min(ends-p.wall, ends-since, most)
		if left <= 0 {
			return false
		}
		until = p.now + time.Duration(left)*time.Millisecond
	}
	if p.spare.OverlapsPrefix(target) {
		p.spared++
		p.example = target
		return false
	}
	age := time.Duration(min(max(0, p.wall-since), most)) * time.Millisecond
	p.next = held{targetOf(target), note{by: ban.By, why: ban.Why, origin: ban.Origin, age: age}, until}
	return true
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
