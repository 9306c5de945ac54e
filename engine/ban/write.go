package ban

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"moonlatch/engine/nft"
)

// held is a ban as the kernel is to hold it.
type held struct {
	target
	note
	until time.Duration // on the book's clock
}

// change is what one transaction does.
type change struct {
	put  []held
	lift []target // lifted whether they are there or not

	settled bool // the trial is over for what is put
	quiet   bool // Config.Changed is not told
}

// maxChange is how many bans go into one transaction. As root the kernel takes
// more, in a user namespace it depends on net.core.wmem_max.
const maxChange = 1 << 13

// write makes a change in the kernel, and then in the book, in several transactions
// if it is too large for one. The caller holds b.mu.
func (b *Book) write(ctx context.Context, c change) error { return b.writeBy(ctx, c, maxChange) }

// writeBy is write with at most size bans in one transaction.
func (b *Book) writeBy(ctx context.Context, c change, size int) error {
	for len(c.put)+len(c.lift) > 0 {
		put := min(len(c.put), size)
		lift := min(len(c.lift), size-put)
		err := b.writeOnce(ctx, change{c.put[:put], c.lift[:lift], c.settled, c.quiet})
		if errors.Is(err, nft.ErrTooBig) && size > 1 {
			size = (put + lift + 1) / 2
			continue
		}
		if err != nil {
			return err
		}
		c.put, c.lift = c.put[put:], c.lift[lift:]
	}
	return nil
}

// writeOnce writes one transaction, once more if others destroyed the table or banned overlapping prefixes.
func (b *Book) writeOnce(ctx context.Context, c change) error {
	err := b.transact(c, b.index.has)
	switch {
	case errors.Is(err, nft.ErrNotExist):
		if _, err := b.mend(ctx); err != nil {
			return err
		}
		return b.transact(c, anything)
	case errors.Is(err, nft.ErrExist):
		if err := b.loadPrefixes(); err != nil {
			return err
		}
		return b.transact(c, anything)
	}
	return err
}

// anything may be banned in the kernel already, whatever the book knows.
func anything(target) bool { return true }

// transact writes a change in one transaction. Of hosts that may not be banned, none must be: to replace an element
// takes the kernel three times the work of adding one.
func (b *Book) transact(c change, banned func(target) bool) error {
	now := b.clock()
	prefixes, err := b.prefixes.with(c, now)
	if err != nil {
		return err
	}
	since := now
	if b.cfg.Played {
		since -= MaxTime // the kernel's clock must end none: Expire does
	}
	tx := b.nft.Begin()
	c.writeHosts(tx, since, banned)
	b.prefixes.writeDifference(tx, prefixes, since)
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write bans: %w", err)
	}
	b.prefixes = prefixes
	for _, h := range c.put {
		b.index.put(h.target, b.entry(h.note, h.until))
	}
	for _, t := range c.lift {
		b.index.remove(t)
		if b.adoption != nil {
			b.adoption.lifted[t] = true
		}
	}
	b.tell(c)
	return nil
}

// writeHosts writes what is not a matter of the sets of prefixes.
func (c change) writeHosts(tx *nft.Tx, now time.Duration, banned func(target) bool) {
	lift := make(map[set][]nft.Element)
	for _, t := range c.lift {
		if s := t.set(); !s.net() {
			lift[s] = append(lift[s], nft.Element{Prefix: t.element()})
		}
	}
	for s, elements := range lift {
		deleteElements(tx, s, elements)
	}
	create, replace := make(map[set][]nft.Element), make(map[set][]nft.Element)
	for _, h := range c.put {
		s := h.set()
		if s.net() {
			continue
		}
		to := create
		if banned(h.target) {
			to = replace
		}
		to[s] = append(to[s], h.note.element(h.target.element(), h.until, now))
	}
	for s, elements := range create {
		tx.CreateElements(core(), string(s), elements)
	}
	for s, elements := range replace {
		tx.ReplaceElements(core(), string(s), elements)
	}
}

// deleteElements deletes elements whether they are there or not: an element may have expired a moment ago.
func deleteElements(tx *nft.Tx, s set, elements []nft.Element) {
	prefixes := make([]netip.Prefix, len(elements))
	for i, e := range elements {
		prefixes[i] = e.Prefix
	}
	tx.AddElements(core(), string(s), elements)
	tx.DeleteElements(core(), string(s), prefixes)
}

// rounding makes up for the moment since a ban was decided, so that an hour is one in listings.
const rounding = 10 * time.Millisecond

// element returns the element for a ban, or for a part of one.
func (n note) element(p netip.Prefix, until, now time.Duration) nft.Element {
	return n.elementSaying(n.comment(), p, until, now)
}

// elementSaying is element with the note's comment made beforehand.
func (n *note) elementSaying(comment string, p netip.Prefix, until, now time.Duration) nft.Element {
	e := nft.Element{Prefix: p, Comment: comment, Timeout: timeout(until, now)}
	if n.age > 0 && until != forever {
		e.Timeout, e.Expires = e.Timeout+min(n.age, MaxTime), e.Timeout
	}
	return e
}

// timeout returns the timeout of a ban that is written now.
func timeout(until, now time.Duration) time.Duration {
	if until == forever {
		return 0
	}
	return max(until-now, rounding).Round(rounding)
}
