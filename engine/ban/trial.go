package ban

import (
	"context"
	"fmt"
	"time"
)

// trial is what has to be done about a policy's bans when its trial ends.
type trial struct {
	deadline time.Duration // on the book's clock
	bans     map[target]trialBan
}

// trialBan is a ban that a policy on trial made.
type trialBan struct {
	full    held  // as the policy wants it
	written bool  // the kernel holds it, until the deadline; otherwise another ban lasts as long
	before  *held // what the kernel held before it was written, if anything
	offence bool
}

// BeginTrial limits the bans that policies make from now on: in the kernel they end
// at the deadline at the latest, so that none outlives a policy that is not
// confirmed, even with every process dead. A ban that lasts longer already is not
// shortened. Called during a trial it moves the deadline of further bans.
func (b *Book) BeginTrial(deadline time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trial == nil {
		b.trial = &trial{bans: make(map[target]trialBan)}
	}
	b.trial.moveTo(b.clock() + deadline.Sub(b.cfg.Now()))
}

// moveTo sets the deadline so that rounding takes no ban past it.
func (t *trial) moveTo(deadline time.Duration) { t.deadline = deadline - rounding }

// MoveTrial moves the deadline of a trial, of the bans that it limited as well as of
// further ones. None is shortened: where the trial ends earlier than was said, EndTrial
// lifts them. Without a trial it does nothing. After an error call it again.
func (b *Book) MoveTrial(ctx context.Context, deadline time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trial == nil {
		return nil
	}
	b.trial.moveTo(b.clock() + deadline.Sub(b.cfg.Now()))
	if err := b.write(ctx, b.limited()); err != nil {
		return fmt.Errorf("move the end of the trial of %d bans: %w", len(b.trial.bans), err)
	}
	return nil
}

// limited returns how the bans of the trial get as much of their time as it allows.
func (b *Book) limited() change {
	var c change
	now := b.clock()
	for t, ban := range b.trial.bans {
		put := ban.full
		put.until = min(put.until, b.trial.deadline)
		e, ok := b.index.get(t)
		if put.until <= now || ok && e.until() >= put.until {
			continue
		}
		if !ban.written { // what lasted as long as the trial until now does so no more
			ban.written = true
			if ok && e.until() > now {
				ban.before = &held{t, b.noteOf(t), e.until()}
			}
			b.trial.bans[t] = ban
		}
		c.put = append(c.put, put)
	}
	return c
}

// EndTrial ends a trial. The bans that it limited last their full time if the
// policy is confirmed. Otherwise they end at once, and what they replaced is put back.
// Without a trial it does nothing. After an error the trial goes on: call it again.
func (b *Book) EndTrial(ctx context.Context, confirmed bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trial == nil {
		return nil
	}
	var c change
	if confirmed {
		c = b.confirmed()
	} else {
		c = b.rolledBack()
	}
	c.settled = true
	if err := b.write(ctx, c); err != nil {
		return fmt.Errorf("end the trial of %d bans: %w", len(b.trial.bans), err)
	}
	b.ended(c.lift, len(c.lift), UnbannedTrial)
	if confirmed {
		b.tellSettled()
	} else {
		for t, ban := range b.trial.bans {
			if ban.offence {
				b.offences.undo(t)
			}
		}
	}
	b.trial = nil
	return nil
}

// confirmed returns how the bans get their full time.
func (b *Book) confirmed() change {
	var c change
	now := b.clock()
	for t, ban := range b.trial.bans {
		e, ok := b.index.get(t)
		if ban.full.until > now && !(ok && e.until() >= ban.full.until) {
			c.put = append(c.put, ban.full)
		}
	}
	return c
}

// rolledBack returns how the bans end.
func (b *Book) rolledBack() change {
	var c change
	now := b.clock()
	for t, ban := range b.trial.bans {
		switch {
		case !ban.written:
		case ban.before != nil && ban.before.until > now:
			c.put = append(c.put, *ban.before)
		default:
			c.lift = append(c.lift, t)
		}
	}
	return c
}

// remember notes a ban that was made during the trial.
func (t *trial) remember(d decision) {
	ban, known := t.bans[d.full.target]
	if d.request.Origin != Local {
		if known { // the person's ban stands, however the trial ends
			ban.written, ban.before = false, nil
			t.bans[d.full.target] = ban
		}
		return
	}
	if !d.needless && !ban.written {
		ban.written, ban.before = true, d.before
	}
	ban.full = d.full
	ban.offence = ban.offence || d.offence
	t.bans[d.full.target] = ban
}
