package ban

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"moonlatch/engine/nft"
)

// with returns the bans of prefixes as they are after the change, and which parts
// each then has. Bans that stay as they are stay the same pointers.
func (bans prefixBans) with(c change, now time.Duration) (prefixBans, error) {
	if !c.hasPrefixes() {
		return bans, nil
	}
	next := maps.Clone(bans)
	maps.DeleteFunc(next, func(_ target, b *prefixBan) bool { return b.until <= now })
	changed := make(map[target]bool)
	for _, t := range c.lift {
		changed[t] = true
		delete(next, t)
	}
	for _, h := range c.put {
		if h.set().net() {
			changed[h.target] = true
			next[h.target] = &prefixBan{target: h.target, note: h.note, until: h.until}
		}
	}
	for t, related := range next.relatedToAny(changed) {
		b := next[t]
		parts, err := b.layOut(related)
		if err != nil {
			return nil, err
		}
		if !slices.Equal(parts, b.parts) {
			moved := *b
			moved.parts = parts
			next[t] = &moved
		}
	}
	return next, nil
}

func (c change) hasPrefixes() bool {
	isPrefix := func(t target) bool { return t.set().net() }
	return slices.ContainsFunc(c.lift, isPrefix) ||
		slices.ContainsFunc(c.put, func(h held) bool { return isPrefix(h.target) })
}

// writeDifference writes what leads from bans to next.
func (bans prefixBans) writeDifference(tx *nft.Tx, next prefixBans, now time.Duration) {
	gone, come := make(map[set][]nft.Element), make(map[set][]nft.Element)
	for t, b := range bans {
		gone[t.set()] = append(gone[t.set()], b.elementsBut(next[t], now)...)
	}
	for t, b := range next {
		come[t.set()] = append(come[t.set()], b.elementsBut(bans[t], now)...)
	}
	for s, elements := range gone {
		deleteElements(tx, s, elements)
	}
	for s, elements := range come {
		tx.AddElements(core(), string(s), elements)
	}
}

// elementsBut returns the elements for the parts of b, without those that are the same in other, which may be nil.
func (b *prefixBan) elementsBut(other *prefixBan, now time.Duration) []nft.Element {
	if b == other {
		return nil
	}
	n := b.note
	if len(b.parts) != 1 || b.parts[0] != b.prefix() {
		n.whole = b.prefix()
	}
	same := other != nil && other.until == b.until && other.note == b.note
	var out []nft.Element
	for _, p := range b.parts {
		if !same || !slices.Contains(other.parts, p) {
			out = append(out, n.element(p, b.until, now))
		}
	}
	return out
}

// loadPrefixes reads the bans of prefixes from the kernel.
func (b *Book) loadPrefixes() error {
	loaded := make(prefixBans)
	for _, s := range bannedSets() {
		if !s.net() {
			continue
		}
		now := b.clock()
		elements, err := elements(b.nft, s)
		if err != nil {
			return err
		}
		for _, e := range elements {
			loaded.add(e, untilOf(e, now))
		}
	}
	for t := range b.prefixes {
		if loaded[t] == nil {
			b.index.remove(t)
		}
	}
	for t, p := range loaded {
		b.index.put(t, b.entry(p.note, p.until))
	}
	b.prefixes = loaded
	return nil
}

// add adds an element to the ban that it is a part of.
func (bans prefixBans) add(e nft.Element, until time.Duration) {
	n := parseNote(e.Comment)
	p := e.Prefix
	if n.whole.IsValid() && within(p, n.whole) {
		p = n.whole
	}
	n.whole = netip.Prefix{}
	t := targetOf(p)
	b := bans[t]
	if b == nil {
		b = &prefixBan{target: t, note: n}
		bans[t] = b
	}
	b.until = max(b.until, until)
	b.parts = append(b.parts, e.Prefix)
}
