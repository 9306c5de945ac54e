package generation

import "context"

// PutBack runs fn, which brings back what was in force before, while no other process changes
// the generations. What the kernel then holds is meant, also where it was not any more, after a reset:
// nobody takes what fn changes for somebody else's doing.
func (m *Manager) PutBack(ctx context.Context, fn func() error) error {
	return m.locked(ctx, func(c *change) error {
		before, _ := c.store.intent()
		if err := fn(); err != nil {
			return err
		}
		c.lasting = before.Confirmed
		_ = c.remember(before) // without it, what others changed is only not seen
		return nil
	})
}
