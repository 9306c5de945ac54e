package generation

import (
	"context"
	"fmt"
	"time"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// Extend adds d to what is left of the trial, and returns when the trial now ends.
// What is then left must be a time that ruleset.CheckTrial allows. The transaction takes
// the elements of both gates away by name before it puts them in again, so the
// kernel itself refuses it once the trial is over: then the result is ErrExpired.
// Where nothing is on trial, it is ErrNoTrial.
func (m *Manager) Extend(ctx context.Context, d time.Duration) (Generation, time.Time, error) {
	var g Generation
	var deadline time.Time
	err := m.changing(ctx, func(c *change) (err error) {
		switch {
		case c.trial == nil:
			return ErrNoTrial
		case d <= 0 || d > ruleset.MaxTrial:
			return fmt.Errorf("to extend a trial by %s %w: write a time above 0 and of at most %s, such as 60s; nothing was changed", d, ruleset.ErrTrial, ruleset.MaxTrial)
		case c.trial.expired():
			return c.unconfirmed(ErrExpired)
		}
		left := c.trial.left() + d
		if err := ruleset.CheckTrial(left); err != nil {
			return fmt.Errorf("extend generation %d by %s: %w; nothing was changed", c.trial.number, d, err)
		}
		g, deadline = *c.describe(c.trial), time.Now().Add(left)
		if err := c.extend(left); err != nil {
			return c.unconfirmed(fmt.Errorf("extend: %w", err))
		}
		return nil
	})
	return g, deadline, err
}

// extend makes both gates end after the given time. As when a generation is
// armed, the yields go in first, so that the confirmed generation is back no
// later than the trial is gone. One that stands aside for good keeps doing so.
func (c *change) extend(left time.Duration) error {
	tx := c.nft.Begin()
	if c.confirmed != nil && !c.confirmed.asideForGood() {
		renewGate(tx, c.confirmed.tables, ruleset.Yield, left)
	}
	renewGate(tx, c.trial.tables, ruleset.Lease, left)
	return tx.Commit()
}

// renewGate gives a gate's elements a new time, provided that none has expired.
func renewGate(tx *nft.Tx, tables []nft.Table, name string, d time.Duration) {
	for _, t := range tables {
		tx.DeleteKeys(t, name, gateKeys(t)...)
	}
	for _, t := range tables {
		tx.AddKeys(t, name, d, gateKeys(t)...)
	}
}
