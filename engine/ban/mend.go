package ban

import (
	"context"
	"fmt"
	"time"
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
	restored, err = ensure(ctx, b.nft)
	if err != nil || !restored {
		return false, err
	}
	if err := b.restore(); err != nil {
		return true, fmt.Errorf("put back what the core table held: %w", err)
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
	if err := b.transact(prefixes); err != nil {
		return err
	}
	for i := range b.index.shards {
		if err := b.transact(b.lost(&b.index.shards[i], now)); err != nil {
			return err
		}
	}
	return nil
}

// lost returns the bans of hosts that a shard of the index knows of.
func (b *Book) lost(s *shard, now time.Duration) change {
	s.mu.Lock()
	defer s.mu.Unlock()
	var c change
	for t, e := range s.m {
		if !t.set().net() && e.until() > now {
			n := note{by: b.names.name(e.by), why: "restored, its reason was lost with the table", origin: originOf(e)}
			c.put = append(c.put, held{t, n, e.until()})
		}
	}
	return c
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
	return parseNote(e.Comment)
}
