package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	if c.trial != nil {
		return r.Generation, nil // its fallback, open, is what was in force when it was applied
	}
	if err := c.nft.Run(ctx, []byte(r.text), c.lock); err != nil {
		return Generation{}, fmt.Errorf("restore generation %d: %w", r.Number, err)
	}
	return r.Generation, nil
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
