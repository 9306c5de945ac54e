package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"moonlatch/engine/ruleset"
)

// Restore puts the generation that was confirmed last in force, from its stored
// text: no policy is run. Where the kernel holds a generation already, that one
// stays and nothing is done. A generation in the kernel that the store does not
// know as confirmed (a process died between the two) is written down now.
func (m *Manager) Restore(ctx context.Context) (Generation, error) {
	var g Generation
	err := m.locked(ctx, func(c *change) (err error) {
		if c.confirmed != nil {
			g, err = *c.describe(c.confirmed), c.recordConfirmed()
			return err
		}
		g, err = c.restore(ctx)
		return err
	})
	return g, err
}

func (c *change) restore(ctx context.Context) (Generation, error) {
	last, err := c.store.confirmed()
	if err != nil {
		return Generation{}, err
	}
	r, err := c.store.load(last.Number)
	if err != nil {
		return Generation{}, err
	}
	if r.SHA256 != last.SHA256 {
		return Generation{}, fmt.Errorf("generation %d: %w: it is not the one that was confirmed", r.Number, ErrDamaged)
	}
	if c.trial != nil && !c.trial.expired() {
		return r.Generation, nil // it was applied with nothing in force, which is what follows it
	}
	if err := c.reload(ctx, r); err != nil {
		return Generation{}, fmt.Errorf("restore generation %d: %w", r.Number, err)
	}
	return r.Generation, nil
}

// reload loads a stored generation, which lets everything through as long as it
// has an empty lease, and then takes the lease away: it is in force from one
// transaction on, its large sets filled.
func (c *change) reload(ctx context.Context, r record) error {
	s := &ruleset.Script{}
	for _, old := range append(c.stale, c.trial) {
		if old == nil {
			continue
		}
		for _, t := range old.tables {
			s.Line("delete table %s %s", t.Family, t.Name)
		}
	}
	if err := c.nft.Run(ctx, append([]byte(s.String()), r.text...), c.lock); err != nil {
		return err
	}
	if err := c.fill(r.Number, r.fills); err != nil {
		return err
	}
	now, err := readKernel(c.nft)
	if err != nil {
		return err
	}
	if now.trial == nil || now.trial.number != r.Number {
		return errors.New("its tables are gone already: somebody else changes them")
	}
	tx := c.nft.Begin()
	for _, t := range now.trial.tables {
		if err := deleteGate(c.nft, tx, t, ruleset.Lease, ruleset.LeaseComment); err != nil {
			return err
		}
		if lease := now.trial.alive.Lease; lease > 0 {
			tx.AddKeys(t, ruleset.Alive, lease, gateKeys(t)...)
		}
	}
	return tx.Commit()
}

// recordConfirmed makes the store agree with the kernel.
func (c *change) recordConfirmed() error {
	last, err := c.store.confirmed()
	if err == nil && last.Number == c.confirmed.number {
		return nil
	}
	if err != nil && !errors.Is(err, ErrNoStore) && !errors.Is(err, ErrDamaged) {
		return err
	}
	r, err := c.store.load(c.confirmed.number)
	if err != nil {
		return err
	}
	if err := c.store.prepare(confirmation{Number: r.Number, SHA256: r.SHA256}); err != nil {
		return fmt.Errorf("write down generation %d as confirmed: %w", r.Number, err)
	}
	return c.store.commit()
}

// files is a stored generation's copy of its policy.
func (s *store) files(n uint64) fs.FS {
	return os.DirFS(filepath.Join(s.generation(n), "files"))
}
