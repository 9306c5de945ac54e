package ban

import (
	"context"
	"fmt"
	"iter"

	"moonlatch/engine/nft"
)

// Mend checks the core table and makes it whole, for after someone else changed
// the ruleset. It reports whether sets were missing, as after `nft flush ruleset`:
// then it puts the protected addresses and the bans back that this Book knows of.
// The reason of a ban of a single host is lost with the table; its author is not.
func (b *Book) Mend(ctx context.Context) (restored bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mend(ctx)
}

// mend is Mend for callers that hold b.mu.
func (b *Book) mend(ctx context.Context) (restored bool, err error) {
	missing, err := ensure(ctx, b.nft)
	b.destroyed = b.destroyed || missing
	if err != nil || !b.destroyed {
		return false, err
	}
	if err := b.restore(); err != nil {
		return true, fmt.Errorf("put back what the core table held: %w", err)
	}
	b.destroyed = false
	if b.cfg.Mended != nil {
		b.cfg.Mended()
	}
	return true, nil
}

func (b *Book) restore() error {
	p := b.guarded.Load()
	if err := b.tryReplaceProtection(p, p); err != nil {
		return err
	}
	now := b.clock()
	var prefixes change
	for _, p := range b.prefixes {
		if p.until > now {
			prefixes.put = append(prefixes.put, held{p.target, p.note, p.until})
		}
	}
	if err := b.loadPrefixes(); err != nil {
		return err
	}
	if err := b.transact(prefixes, anything); err != nil {
		return err
	}
	for _, s := range bannedSets() {
		if s.net() || b.index.none(s) {
			continue
		}
		if _, err := b.nft.Load(core(), string(s), b.lost(s)); err != nil {
			return err
		}
	}
	return nil
}

// lost yields the bans of hosts in a set that the index knows of, as elements.
func (b *Book) lost(s set) iter.Seq[nft.Element] {
	return func(yield func(nft.Element) bool) {
		var comments [2][maxNames + 1]string // by author
		var known []knownBan
		for i := range b.index.shards {
			known = b.index.shards[i].appendBans(known[:0], s)
			now := b.clock()
			for _, k := range known {
				if k.until() <= now {
					continue
				}
				comment := &comments[bit(k.manual)][k.by]
				if *comment == "" {
					n := note{by: b.names.name(k.by), why: "restored, its reason was lost with the table", origin: originOf(k.entry)}
					*comment = n.comment()
				}
				e := nft.Element{Prefix: k.element(), Timeout: timeout(k.until(), now), Comment: *comment}
				if !yield(e) {
					return
				}
			}
		}
	}
}

// noteOf returns what is known about a ban in force. The caller holds b.mu.
func (b *Book) noteOf(t target) note {
	if p := b.prefixes[t]; p != nil {
		return p.note
	}
	e, _, err := b.nft.Element(core(), string(t.set()), t.element())
	if err != nil {
		return note{why: "its reason could not be read"}
	}
	n := parseNote(e.Comment)
	if e.Expires != 0 {
		n.age = e.Timeout - e.Expires
	}
	return n
}
