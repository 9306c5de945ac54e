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
	d.compare(ctx, nft.Change{}) // of the time in which no daemon ran
	for {
		change, err := nextChange(ctx, m, d.drift.again)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			d.lookAgain(ctx)
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
	d.mendBans(ctx, c)
	d.compare(ctx, c) // before the policy is brought in step: what is put back goes on as it was
	if err := d.sync(ctx); err != nil && ctx.Err() == nil {
		d.log.Error("cannot follow a change of our tables", "error", err)
	}
}

// lookAgain does once more what could not be done.
func (d *Daemon) lookAgain(ctx context.Context) {
	if d.drift.torn {
		d.mendBans(ctx, d.drift.heard)
	}
	d.compare(ctx, d.drift.heard)
}

// compare looks for drift, and sees to it that bans that could not be put back are not forgotten.
func (d *Daemon) compare(ctx context.Context, c nft.Change) {
	d.lookForDrift(ctx, c)
	if w := &d.drift; w.torn && w.again.IsZero() {
		w.heard, w.again = c, time.Now().Add(firstPause)
	}
}

// mendBans makes the core table whole, with the bans in it.
func (d *Daemon) mendBans(ctx context.Context, c nft.Change) {
	restored, err := d.bans.Mend(ctx)
	if err != nil && ctx.Err() == nil && !d.drift.torn {
		d.log.Error("the table of the bans was changed, and cannot be put back yet: it is tried again", "process", c.Process, "pid", c.PID, "error", err)
	}
	d.drift.torn = err != nil
	if restored && err == nil {
		d.tellDrift(feed.DriftBans, "", c)
	}
}
