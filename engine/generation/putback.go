package generation

import "context"

// PutBack runs fn, which brings back what is meant to be in force, while no other process changes
// the generations: nobody takes what it changes for somebody else's doing.
func (m *Manager) PutBack(ctx context.Context, fn func() error) error {
	return m.locked(ctx, func(c *change) error {
		if err := fn(); err != nil {
			return err
		}
		i, known := c.store.intent()
		id, err := c.nft.GenID()
		if known && err == nil {
			i.GenID = id
			_ = c.store.setIntent(i) // without it, what others changed is only not seen
		}
		return nil
	})
}
