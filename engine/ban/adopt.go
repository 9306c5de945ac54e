package ban

import (
	"context"
	"errors"
	"time"

	"moonlatch/engine/nft"
)

// adoption is the reading of the bans of hosts, which takes the kernel half a
// second for 100,000 and a minute for 1,000,000. Meanwhile bans are made and lifted.
type adoption struct {
	lifted map[target]bool // since it began
	void   bool            // all have been
	over   chan struct{}   // closed when it is
}

// adoptChunk is how many bans are adopted while other bans wait.
const adoptChunk = 4096

// startAdoption adopts the bans of hosts in the background, unless that is done or going on.
func (b *Book) startAdoption(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.adoption != nil || b.adopted.Load() {
		return
	}
	a := &adoption{lifted: make(map[target]bool), over: make(chan struct{})}
	b.adoption = a
	b.adopting.Go(func() {
		defer close(a.over)
		err := b.adopt(ctx)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.adoption, b.recount = nil, true
		b.adopted.Store(err == nil)
	})
}

// adopt notes the bans of hosts that the kernel holds. Until then the book asks the
// kernel about each target before it bans it, Stats is not complete, Submit does not
// recognise all duplicates, and Protect and Mend do not know all bans.
func (b *Book) adopt(ctx context.Context) error {
	for _, s := range bannedSets() {
		if s.net() {
			continue
		}
		now := b.clock()
		elements, err := elements(b.lister, s)
		for len(elements) > 0 && err == nil {
			n := min(adoptChunk, len(elements))
			err = b.adoptElements(ctx, s, elements[:n], now)
			elements = elements[n:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// adoptElements notes elements that were listed at now, unless the book knows better.
func (b *Book) adoptElements(ctx context.Context, s set, elements []nft.Element, now time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lift []target
	for _, e := range elements {
		t := s.target(e.Prefix)
		if _, known := b.index.get(t); known || b.adoption.void || b.adoption.lifted[t] {
			continue
		}
		if b.guarded.Load().all.OverlapsPrefix(t.prefix()) {
			lift = append(lift, t)
			continue
		}
		b.learn(t, e, now)
	}
	if err := b.lift(ctx, lift); err != nil {
		return err
	}
	b.ended(lift, len(lift), UnbannedProtected)
	return nil
}

// learn notes an element of a hash set that was read at now. The caller holds b.mu.
func (b *Book) learn(t target, e nft.Element, now time.Duration) {
	n := parseNote(e.Comment)
	b.index.put(t, b.entry(n, untilOf(e, now)))
	if n.origin == Local && b.offences.count(t, now) == 0 {
		b.offences.add(t, 1, now)
	}
}

// ask asks the kernel which bans of t, of the /64 and of prefixes around it there
// are: other processes may have made or lifted some. The caller holds b.mu.
func (b *Book) ask(t target, now time.Duration) error {
	err := b.askHosts(t, now)
	if around, _, ok := b.index.covering(t, now); err == nil && ok && around.set().net() {
		err = b.loadPrefixes()
	}
	if errors.Is(err, nft.ErrNotExist) {
		return nil // the table is gone, which writing will mend
	}
	return err
}

// askHosts is ask for what is in the hash sets.
func (b *Book) askHosts(t target, now time.Duration) error {
	for _, bits := range []uint8{64, 128} {
		if t.bits < bits || t.family() == IPv4 && bits != 128 {
			continue
		}
		u := t.shorten(bits)
		e, ok, err := b.nft.Element(core(), string(u.set()), u.element())
		switch {
		case err != nil:
			return err
		case ok:
			b.learn(u, e, now)
		default:
			b.index.remove(u)
		}
	}
	return nil
}
