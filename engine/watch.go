package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// watch acts at once on what others do to our tables: it says who it was, brings
// the core table and its bans back where they were taken away, and follows a
// generation that another moonlatch confirmed, rolled back or reset.
func (d *Daemon) watch(ctx context.Context) error {
	m, err := d.nft.Monitor()
	if err != nil {
		return err
	}
	defer m.Close()
	for {
		change, err := m.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch the kernel's rules: %w", err)
		}
		if !change.Own && (change.Overrun || concernsUs(change)) {
			d.changedByOthers(ctx, change)
		}
	}
}

// concernsUs reports whether a change touches one of our tables.
func concernsUs(c nft.Change) bool {
	for _, e := range c.Events {
		if strings.HasPrefix(e.Table.Name, ruleset.CoreTable) {
			return true
		}
	}
	return c.More > 0 // what was left out may have been ours
}

func (d *Daemon) changedByOthers(ctx context.Context, c nft.Change) {
	if !c.Overrun {
		d.log.Warn("somebody else changed our tables", "process", c.Process, "pid", c.PID)
	}
	restored, err := d.bans.Mend(ctx)
	if restored {
		d.log.Error("somebody took the bans out of the kernel: they are back", "process", c.Process, "pid", c.PID)
	}
	had := d.running.Load()
	err = errors.Join(err, d.sync(ctx))
	if had != nil && d.running.Load() == nil {
		d.log.Error("the generation in force is gone from the kernel: everything passes until one is applied or restored",
			"generation", had.generation, "process", c.Process, "pid", c.PID)
	}
	if err != nil && ctx.Err() == nil {
		d.log.Error("cannot follow a change of our tables", "error", err)
	}
}
