package generation

import (
	"context"
	"errors"
	"slices"
	"time"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// plan is what the kernel is to hold of ours, from stored generations.
type plan struct {
	confirmed *record // may be nil
	aside     bool    // the confirmed one stands aside for good
	trial     *record // may be nil
	end       time.Time
}

// left is what the trial has left: hardly anything, where what came before took all of it.
func (p plan) left() time.Duration { return max(time.Until(p.end), tick) }

// yields reports whether the confirmed generation stands aside, for now or for good.
func (p plan) yields() bool { return p.confirmed != nil && (p.aside || p.trial != nil) }

// staged reports whether large sets have to be filled.
func (p plan) staged() bool {
	return p.confirmed != nil && p.confirmed.staged() || p.trial != nil && p.trial.staged()
}

// staged reports whether a generation must not filter before its sets are filled: feeds may be empty for a moment.
func (r *record) staged() bool {
	return slices.ContainsFunc(r.fills, func(f ruleset.Fill) bool { return !f.Feed })
}

// rebuild puts the plan in the place of every generation in the kernel, in one
// transaction. Only where large sets have to be filled it takes more, and then
// everything passes from the first to the last: each has an empty lease meanwhile, as a
// trial that is over, which the next process clears away if this one dies. Only a
// confirmed generation that is to stand aside does that from the beginning.
func (c *change) rebuild(ctx context.Context, p plan) error {
	s := &ruleset.Script{}
	for _, h := range append([]*held{c.confirmed, c.trial}, c.stale...) {
		if h == nil {
			continue
		}
		for _, t := range h.tables { // somebody else may have taken it away meanwhile
			s.Line("add table %s %s", t.Family, t.Name)
			s.Line("delete table %s %s", t.Family, t.Name)
		}
	}
	staged := p.staged()
	p.write(s, staged)
	if err := c.nft.Run(ctx, []byte(s.String()), c.lock); err != nil {
		return err
	}
	err := c.fillPlan(p)
	if !staged { // feeds are what there is to fill, and the daemon will do so if this could not
		return nil
	}
	if err == nil {
		err = c.arrange(p)
	}
	if err != nil {
		return errors.Join(err, c.drop(p))
	}
	return nil
}

// write renders the plan's tables, and, unless that has to wait for large sets, what
// is in their gates: the yields before the leases, as always.
func (p plan) write(s *ruleset.Script, staged bool) {
	left := p.left() // the same for both gates
	yield := left
	if p.aside {
		yield = 0 // for good
	}
	if r := p.confirmed; r != nil {
		text := ruleset.Tables(r.text)
		switch {
		case staged && p.yields():
			s.Line("%s", text.WithYield())
			fillGates(s, r, ruleset.Yield, 0)
		case staged:
			s.Line("%s", r.text)
		case p.yields():
			s.Line("%s", text.WithYield())
			fillGates(s, r, ruleset.Yield, yield)
		default:
			s.Line("%s", text.WithoutLease())
		}
		fillGates(s, r, ruleset.Alive, r.Lease)
	}
	if r := p.trial; r != nil {
		s.Line("%s", r.text)
		fillGates(s, r, ruleset.Alive, r.Lease)
		if !staged {
			fillGates(s, r, ruleset.Lease, left)
		}
	}
}

// fillGates fills one gate of all tables of a generation. One without a liveness
// lease has no such gate.
func fillGates(s *ruleset.Script, r *record, name string, d time.Duration) {
	if name == ruleset.Alive && d == 0 {
		return
	}
	for _, f := range ruleset.Tables(r.text).Families() {
		s.Line("%s", ruleset.FillGate(f, ruleset.Table(r.Number), name, d))
	}
}

func (c *change) fillPlan(p plan) error {
	for _, r := range []*record{p.confirmed, p.trial} {
		if r == nil {
			continue
		}
		if err := c.fill(r.Number, r.fills); err != nil {
			return err
		}
	}
	return nil
}

// arrange is the last transaction of a plan with large sets.
func (c *change) arrange(p plan) error {
	tx := c.nft.Begin()
	left := p.left() // the same for both gates
	if r := p.confirmed; r != nil {
		if err := c.arrangeConfirmed(tx, p, left); err != nil {
			return err
		}
	}
	if r := p.trial; r != nil {
		for _, t := range r.tables() {
			tx.AddKeys(t, ruleset.Lease, left, gateKeys(t)...)
		}
	}
	return tx.Commit()
}

func (c *change) arrangeConfirmed(tx *nft.Tx, p plan, left time.Duration) error {
	for _, t := range p.confirmed.tables() {
		switch {
		case !p.yields():
			if err := deleteGate(c.nft, tx, t, ruleset.Lease, ruleset.LeaseComment); err != nil {
				return err
			}
		case !p.aside:
			tx.FlushSet(t, ruleset.Yield)
			tx.AddKeys(t, ruleset.Yield, left, gateKeys(t)...)
		}
		if lease := p.confirmed.Lease; lease > 0 { // the large sets may have taken all of it
			tx.FlushSet(t, ruleset.Alive)
			tx.AddKeys(t, ruleset.Alive, lease, gateKeys(t)...)
		}
	}
	return nil
}

// drop takes away what could not be completed.
func (c *change) drop(p plan) error {
	tx := c.nft.Begin()
	for _, r := range []*record{p.confirmed, p.trial} {
		if r != nil {
			for _, t := range r.tables() {
				tx.DeleteTable(t)
			}
		}
	}
	return tx.Commit()
}

// tables are the tables of a stored generation.
func (r *record) tables() []nft.Table {
	var out []nft.Table
	for _, f := range ruleset.Tables(r.text).Families() {
		if family, err := nft.ParseFamily(string(f)); err == nil {
			out = append(out, nft.Table{Family: family, Name: ruleset.Table(r.Number)})
		}
	}
	return out
}
