package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/boottime"
)

// An intent is what moonlatch means the kernel to hold, in the file "intent": any
// process can tell by it whether somebody else has changed that since. It is taken
// away before a change and written anew after it, from what the kernel then holds,
// both under the lock. So a process that dies in between leaves none, and nobody
// mistakes what it did for somebody else's doing. It is of no use after a reboot, and
// thus not forced to the disk.
type intent struct {
	At        boottime.Instant  `json:"at"`
	Clock     string            `json:"clock,omitempty"` // the time namespace that At is of
	GenID     uint32            `json:"genid"`           // of the kernel's ruleset: what happened until that is ours
	Confirmed uint64            `json:"confirmed,omitempty"`
	Aside     bool              `json:"aside,omitempty"` // for good
	Trial     uint64            `json:"trial,omitempty"`
	Left      time.Duration     `json:"left,omitempty"`  // of the trial, at At, at the least
	Doubt     time.Duration     `json:"doubt,omitempty"` // what it may have had more
	Prints    map[uint64]string `json:"prints,omitempty"`
}

// left is what is left of the trial by now: nothing, where that cannot be told because it
// was written down by another clock than this process has.
func (i intent) left() time.Duration {
	now, err := boottime.Now()
	if err != nil || i.Clock != clock() {
		return 0
	}
	since, ok := now.Sub(i.At)
	if !ok {
		return 0
	}
	return i.Left - since
}

// clock identifies this process's time namespace. It is empty where the kernel has none.
func clock() string {
	name, err := os.Readlink("/proc/self/ns/time")
	if err != nil {
		return ""
	}
	return name
}

func (s *store) intentPath() string { return filepath.Join(s.dir, "intent") }

// intent reads what is meant; ok is false where that is not known, or was of another boot.
func (s *store) intent() (i intent, ok bool) {
	if readSealed(s.intentPath(), &i) != nil {
		return intent{}, false
	}
	now, err := boottime.Now()
	if err != nil {
		return intent{}, false
	}
	if _, sameBoot := now.Sub(i.At); !sameBoot {
		return intent{}, false
	}
	if void := s.void.Load(); void != nil && *void == i.At {
		return intent{}, false
	}
	return i, true
}

// setIntent writes what is meant. Where it cannot, nothing is known to be meant.
func (s *store) setIntent(i intent) error {
	b, err := seal(i)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.intentPath()+".new", b, 0o600); err != nil {
		return errors.Join(err, s.dropIntent())
	}
	return os.Rename(s.intentPath()+".new", s.intentPath())
}

func (s *store) dropIntent() error {
	if err := os.Remove(s.intentPath()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// changing is locked for what changes the generations in the kernel. It keeps the intent.
func (m *Manager) changing(ctx context.Context, fn func(*change) error) error {
	return m.locked(ctx, func(c *change) error {
		before, known := c.store.intent()
		// On a disk that has become read-only, a reset must be possible all the same, and what it takes away must stay away.
		switch err := c.store.dropIntent(); {
		case errors.Is(err, unix.EROFS):
			c.store.void.Store(&before.At)
		case err != nil:
			return fmt.Errorf("%w; nothing was changed", err)
		}
		if c.lasting = before.Confirmed; !known && c.confirmed != nil {
			c.lasting = c.confirmed.number
		}
		err := fn(c)
		switch {
		case err == nil || c.changed:
			// A change that is in force is not failed for want of this: without it, only drift is not seen.
			_ = c.remember(before)
		case known: // it still fits, also where what an ended trial left behind was cleared away
			_ = c.store.setIntent(before)
			c.store.void.Store(nil)
		}
		return err
	})
}

// remember makes what the kernel holds what is meant, and a generation that is to last also where somebody has taken
// it away during the change. The prints of generations that were taken when they came into the kernel hold on: no step of ours changes them.
func (c *change) remember(before intent) error {
	began := time.Now()
	at, err := boottime.Now()
	if err != nil {
		return err
	}
	id, err := c.nft.GenID()
	if err != nil {
		return err
	}
	now, err := readKernel(c.nft)
	if err != nil {
		return err
	}
	i := intent{At: at, Clock: clock(), GenID: id, Prints: map[uint64]string{}}
	if h := now.trial; h != nil && !h.expired() {
		i.Trial, i.Left, i.Doubt = h.number, h.left(), time.Since(began)
	}
	if h := now.confirmed; h != nil {
		i.Confirmed, i.Aside = h.number, h.asideForGood()
	}
	if now.confirmed == nil && c.lasting != 0 {
		i.Confirmed, i.Aside = c.lasting, before.Aside && before.Confirmed == c.lasting
		if p, ok := before.Prints[c.lasting]; ok {
			i.Prints[c.lasting] = p
		}
	}
	for _, h := range []*held{now.confirmed, now.trial} {
		if h == nil {
			continue
		}
		if i.Prints[h.number] = before.Prints[h.number]; i.Prints[h.number] != "" {
			continue
		}
		p, err := h.print(c.nft)
		if err != nil {
			return err
		}
		i.Prints[h.number] = p
	}
	return c.store.setIntent(i)
}
