package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"moonlatch/engine/feed"
	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// watch acts at once on what others do to our tables: it brings the core table, its
// bans and the generations back where they were changed, says who it was, and
// follows a generation that another moonlatch confirmed, rolled back or reset.
func (d *Daemon) watch(ctx context.Context) error {
	m, err := d.nft.Monitor()
	if err != nil {
		return err
	}
	defer m.Close()
	d.lookForDrift(ctx, nft.Change{}) // of the time in which no daemon ran
	for {
		change, err := nextChange(ctx, m, d.drift.again)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			d.lookForDrift(ctx, d.drift.heard)
		case err != nil:
			return fmt.Errorf("watch the kernel's rules: %w", err)
		case !change.Own && (change.Overrun || concernsUs(change)):
			d.changedByOthers(ctx, change)
		}
	}
}

// nextChange waits for the next change, until a given time if that is not zero.
func nextChange(ctx context.Context, m *nft.Monitor, until time.Time) (nft.Change, error) {
	if until.IsZero() {
		return m.Next(ctx)
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	return m.Next(ctx)
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
	d.log.Info("another process changed our tables", "process", c.Process, "pid", c.PID)
	restored, err := d.bans.Mend(ctx)
	if restored {
		d.tellDrift(feed.DriftBans, "", c)
	}
	d.lookForDrift(ctx, c) // before the policy is brought in step: what is put back goes on as it was
	if err = errors.Join(err, d.sync(ctx)); err != nil && ctx.Err() == nil {
		d.log.Error("cannot follow a change of our tables", "error", err)
	}
}
