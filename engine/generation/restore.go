package generation

import (
	"context"
	"errors"
	"fmt"
)

// Restored tells what came of a Restore.
type Restored struct {
	Generation *Generation // what is current now, nil when nothing is: then everything passes
	// Problems tells what kept generations that were confirmed later from being
	// restored, the newest first. It is empty when all went well.
	Problems []Problem
}

// Restore puts the generation that was confirmed last in force, from its stored
// text: no policy is run. Where that cannot be, because the store is damaged or the
// kernel refuses it, it is the one confirmed before, and so on; where there is none,
// nothing is in force. Where the kernel holds a generation already, that one
// stays and nothing is done. A generation in the kernel that the store does not
// know as confirmed (a process died between the two) is written down now.
// It is ErrNoStore where none was ever confirmed.
func (m *Manager) Restore(ctx context.Context) (Restored, error) {
	var out Restored
	err := m.locked(ctx, func(c *change) (err error) {
		switch {
		case c.confirmed != nil:
			out.Generation = c.describe(c.confirmed)
			return c.recordConfirmed()
		case c.trial != nil && !c.trial.expired():
			out.Generation = c.describe(c.trial) // it was applied with nothing in force, which is what follows it
			return nil
		}
		if out, err = c.restore(ctx); err != nil {
			return err
		}
		// What cannot be written down was logged, and is only not told again later.
		_ = c.store.setProblems(out.Problems)
		_ = c.remember(intent{})
		return nil
	})
	return out, err
}

// restore tries what was confirmed, the newest first.
func (c *change) restore(ctx context.Context) (Restored, error) {
	var out Restored
	last, err := c.store.confirmed()
	switch {
	case errors.Is(err, ErrNoStore):
		return out, err
	case err != nil:
		out.Problems = append(out.Problems, Problem{Why: err.Error()})
	case c.try(ctx, last, &out):
		return out, nil
	}
	marked, err := c.store.marked()
	if err != nil {
		return out, err
	}
	for _, n := range marked {
		if last.Number != 0 && n >= last.Number {
			continue
		}
		var own confirmation
		if err := readSealed(c.store.markPath(n), &own); err != nil {
			out.Problems = append(out.Problems, Problem{n, err.Error()})
			continue
		}
		if c.try(ctx, own, &out) {
			break
		}
	}
	return out, nil
}

// try restores one generation, or notes why it cannot be.
func (c *change) try(ctx context.Context, which confirmation, out *Restored) bool {
	r, err := c.store.loadConfirmed(which)
	if err == nil {
		if err = c.rebuild(ctx, plan{confirmed: &r}); err != nil {
			err = fmt.Errorf("generation %d: the kernel did not take it: %w", which.Number, err)
		}
	}
	if err != nil {
		out.Problems = append(out.Problems, Problem{which.Number, err.Error()})
		return false
	}
	out.Generation, c.lasting = &r.Generation, r.Number
	return true
}

// recordConfirmed makes the store agree with the kernel, unless the kernel's is one
// that a boot put in the place of a damaged one.
func (c *change) recordConfirmed() error {
	newest, err := c.store.newestConfirmed()
	if err != nil || c.confirmed.number < newest {
		return err
	}
	r, err := c.store.load(c.confirmed.number)
	if err != nil {
		return err
	}
	now := confirmation{r.Number, r.sum}
	if last, err := c.store.confirmed(); err == nil && last == now && c.store.marks(now) {
		return nil
	}
	if err := c.store.prepare(now); err != nil {
		return fmt.Errorf("write down generation %d as confirmed: %w", r.Number, err)
	}
	return c.store.commit(r.Number)
}
