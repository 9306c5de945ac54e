package generation

import (
	"context"
	"errors"
	"fmt"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// Confirm makes the trial generation permanent. The transaction takes the
// lease's elements away by name, so the kernel itself refuses it once the lease
// has run out: then the result is ErrExpired. With a number other than 0 only
// that generation is meant: when it is not on trial any more, the result is
// ErrEnded, but nil when somebody has confirmed it already.
func (m *Manager) Confirm(ctx context.Context, number uint64) (Generation, error) {
	var g Generation
	err := m.changing(ctx, func(c *change) error {
		switch {
		case !c.means(number) && c.confirmed != nil && c.confirmed.number == number:
			g = *c.describe(c.confirmed)
			return c.recordConfirmed()
		case !c.means(number):
			return fmt.Errorf("generation %d: %w", number, ErrEnded)
		case c.trial == nil:
			return c.confirmAgain(&g)
		}
		g = *c.describe(c.trial)
		return c.confirm()
	})
	return g, err
}

// means reports whether a number stands for what is on trial, or for whatever is.
func (c *change) means(number uint64) bool {
	return number == 0 || c.trial != nil && c.trial.number == number
}

// confirmAgain finishes a confirm whose process died, or found the disk full,
// between the kernel and the store.
func (c *change) confirmAgain(g *Generation) error {
	if c.confirmed == nil {
		return ErrNoTrial
	}
	if last, err := c.store.confirmed(); err == nil && last.Number >= c.confirmed.number {
		return ErrNoTrial
	}
	*g = *c.describe(c.confirmed)
	return c.recordConfirmed()
}

func (c *change) confirm() error {
	r, err := c.store.load(c.trial.number)
	if err != nil {
		return fmt.Errorf("confirm: %w; nothing was changed", err)
	}
	if err := c.store.prepare(confirmation{r.Number, r.sum}); err != nil {
		return fmt.Errorf("confirm: %w; nothing was changed", err)
	}
	if err := c.endLease(); err != nil {
		return c.unconfirmed(fmt.Errorf("confirm: %w", err))
	}
	c.changed, c.lasting = true, r.Number
	if err := c.store.commit(r.Number); err != nil {
		return fmt.Errorf("generation %d is confirmed and in force, but the next boot would not restore it: %w; make room and run moonlatch confirm again", r.Number, err)
	}
	// What cannot be removed now is removed by a later confirm: it is no reason to call this one failed.
	_ = errors.Join(c.store.prune(r.Number), c.store.setProblems(nil))
	return nil
}

// unconfirmed tells whether a confirm or an extension was refused because the trial is over.
func (c *change) unconfirmed(refusal error) error {
	now, err := readKernel(c.nft)
	if err != nil {
		return errors.Join(refusal, err)
	}
	if now.trial == nil || now.trial.expired() {
		c.snapshot = now
		return errors.Join(ErrExpired, c.settle())
	}
	return fmt.Errorf("generation %d: %w; it stays on trial, as it was", now.trial.number, refusal)
}

// endLease is the transaction of a confirm: the lease goes, and with it every
// other generation.
func (c *change) endLease() error {
	tx := c.nft.Begin()
	for _, t := range c.trial.tables {
		tx.DeleteKeys(t, ruleset.Lease, gateKeys(t)...)
	}
	for _, t := range c.trial.tables {
		if err := deleteGate(c.nft, tx, t, ruleset.Lease, ruleset.LeaseComment); err != nil {
			return err
		}
	}
	for _, old := range append(c.stale, c.confirmed) {
		deleteTables(tx, old)
	}
	return tx.Commit()
}

// Rollback ends the trial now and brings the confirmed generation back. After a
// trial that fell back to open, it brings the confirmed generation back too. With a
// number other than 0 only the trial of that generation is meant: when it has
// ended, however it did, the result is ErrEnded.
func (m *Manager) Rollback(ctx context.Context, number uint64) error {
	return m.changing(ctx, func(c *change) error {
		if !c.means(number) {
			return fmt.Errorf("generation %d: %w", number, ErrEnded)
		}
		if c.trial == nil && (c.confirmed == nil || !c.confirmed.yields) {
			return ErrNoTrial
		}
		return c.rollback()
	})
}

func (c *change) rollback() error {
	tx := c.nft.Begin()
	if c.confirmed != nil && c.confirmed.yields {
		for _, t := range c.confirmed.tables {
			if err := deleteGate(c.nft, tx, t, ruleset.Yield, ruleset.YieldComment); err != nil {
				return err
			}
		}
	}
	for _, h := range append(c.stale, c.trial) {
		deleteTables(tx, h)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// Settle clears away what an expired trial left behind, and reports which
// generation that was, or nil. The kernel has long since put the fallback in
// force; a confirmed generation that stands aside for good keeps doing so.
func (m *Manager) Settle(ctx context.Context) (*Generation, error) {
	var ended *Generation
	err := m.changing(ctx, func(c *change) error {
		if c.trial == nil || !c.trial.expired() {
			return nil
		}
		ended = c.describe(c.trial)
		return c.settle()
	})
	return ended, err
}

func (c *change) settle() error {
	if c.trial == nil {
		return nil
	}
	if c.confirmed == nil || !c.fellOpen() {
		return c.rollback()
	}
	tx := c.nft.Begin()
	deleteTables(tx, c.trial)
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("clear away the expired generation %d: %w", c.trial.number, err)
	}
	return nil
}

// fellOpen reports whether the confirmed generation stands aside for good.
func (c *change) fellOpen() bool { return c.describe(c.trial).Fallback == FallbackOpen }

// Reset takes every generation out of the kernel and returns their numbers. The
// store is left as it is: the next boot restores the confirmed generation.
func (m *Manager) Reset(ctx context.Context) ([]uint64, error) {
	var gone []uint64
	err := m.changing(ctx, func(c *change) error {
		tx := c.nft.Begin()
		for _, h := range append([]*held{c.confirmed, c.trial}, c.stale...) {
			if h != nil {
				gone = append(gone, h.number)
				deleteTables(tx, h)
			}
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
		c.lasting = 0
		return nil
	})
	return gone, err
}

func deleteTables(tx *nft.Tx, h *held) {
	if h == nil {
		return
	}
	for _, t := range h.tables {
		tx.DeleteTable(t)
	}
}

// deleteGate takes a gate's rules and its set out of a table.
func deleteGate(c *nft.Client, tx *nft.Tx, t nft.Table, name, comment string) error {
	rules, err := c.Rules(t)
	if err != nil {
		return fmt.Errorf("list the rules of %s %s: %w", t.Family, t.Name, err)
	}
	for _, r := range rules {
		if r.Comment == comment {
			tx.DeleteRule(t, r.Chain, r.Handle)
		}
	}
	tx.DeleteSet(t, name)
	return nil
}
