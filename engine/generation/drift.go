package generation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"moonlatch/engine/nft"
)

// OnDrift is what follows when somebody else changes our tables.
type OnDrift string

// HealDrift puts back what moonlatch means to be in force; ReportDrift only tells.
const (
	HealDrift   OnDrift = "heal"
	ReportDrift OnDrift = "report"
)

// A Drift is a difference between what moonlatch means to be in force and what the
// kernel holds, which somebody else has made.
type Drift struct {
	What string  // in words
	Mode OnDrift // what the current generation's policy wants done about it
}

// slack is by how much a trial may have more time left than is meant: what it takes
// to put it back on a busy machine.
const slack = time.Second

// tick is more than what the kernel's own clock is off.
const tick = 20 * time.Millisecond

// Drift tells whether somebody else has changed our generations since moonlatch did,
// nil where nobody has. The change is what was heard last of somebody's doing, or
// the zero value: of the elements of large sets it is all there is to go by. Where it
// is not known what is meant, what the kernel holds is.
func (m *Manager) Drift(ctx context.Context, heard nft.Change) (*Drift, error) {
	var found *Drift
	err := m.locked(ctx, func(c *change) (err error) {
		_, found, err = c.drift(heard)
		return err
	})
	return found, err
}

// Heal puts everything back as it is meant, where Drift finds a difference, from the
// stored text: a trial has no more time left than it would have had anyway.
func (m *Manager) Heal(ctx context.Context, heard nft.Change) (*Drift, error) {
	var found *Drift
	err := m.locked(ctx, func(c *change) error {
		meant, d, err := c.drift(heard)
		if found = d; err != nil || d == nil {
			return err
		}
		p, err := c.plan(meant)
		if err != nil {
			return err
		}
		// What is meant stays as it was: what somebody changes right after this is drift again.
		if meant.GenID, err = c.nft.GenID(); err != nil {
			return err
		}
		if err := c.rebuild(ctx, p); err != nil {
			return err
		}
		return c.store.setIntent(meant)
	})
	return found, err
}

// bringBack heals what somebody else has taken away just now, before a trial begins whose end would
// otherwise leave nothing in force.
func (m *Manager) bringBack(ctx context.Context) error {
	now, err := readKernel(m.nft)
	if err != nil {
		return err
	}
	meant, known := m.store.intent()
	c := &change{Manager: m, snapshot: now}
	if !known || meant.Confirmed == 0 || now.confirmed != nil || c.onDrift(meant) != HealDrift {
		return nil
	}
	_, err = m.Heal(ctx, nft.Change{})
	return err
}

// plan is what is meant, from the store.
func (c *change) plan(i intent) (plan, error) {
	p := plan{aside: i.Aside}
	if i.Confirmed == 0 && i.Trial == 0 {
		return p, errors.New("no generation is meant to be in force: moonlatch reset takes away what there is")
	}
	if i.Confirmed != 0 {
		r, err := c.store.load(i.Confirmed)
		if err != nil {
			return p, err
		}
		p.confirmed = &r
	}
	if left := i.left(); i.Trial != 0 && left > tick {
		p.end = time.Now().Add(left)
		r, err := c.store.load(i.Trial)
		if err != nil {
			return p, err
		}
		p.trial = &r
	}
	return p, nil
}

// drift compares the kernel with what is meant.
func (c *change) drift(heard nft.Change) (intent, *Drift, error) {
	meant, known := c.store.intent()
	if !known {
		_ = c.remember(intent{}) // without it, what others change is only not seen
		return meant, nil, nil
	}
	what := c.roles(meant)
	if what == "" {
		var err error
		if what, err = c.contents(meant, heard); err != nil {
			return meant, nil, err
		}
	}
	if what == "" {
		return meant, nil, nil
	}
	return meant, &Drift{what, c.onDrift(meant)}, nil
}

// onDrift is what the policy of the generation that is meant to filter wants.
func (c *change) onDrift(i intent) OnDrift {
	n := i.Confirmed
	if i.Trial != 0 {
		n = i.Trial
	}
	r, err := c.store.describe(n)
	if err != nil || r.Drift == "" {
		return ReportDrift
	}
	return r.Drift
}

// roles compares which generations there are, and their gates.
func (c *change) roles(i intent) string {
	left := i.left()
	trying := i.Trial != 0 && left > tick
	// The kernel was read a while ago, if this process had to wait for a processor since.
	most := max(left+time.Since(c.read)+i.Doubt, 0) + slack
	switch {
	case !is(c.confirmed, i.Confirmed) && i.Confirmed != 0:
		return fmt.Sprintf("generation %d is gone", i.Confirmed)
	case !is(c.confirmed, i.Confirmed):
		return fmt.Sprintf("generation %d was put in force", c.confirmed.number)
	case trying && (!is(c.trial, i.Trial) || c.trial.expired()):
		return fmt.Sprintf("the trial of generation %d was ended", i.Trial)
	case c.trial != nil && !c.trial.expired() && !is(c.trial, i.Trial):
		return fmt.Sprintf("generation %d was put on trial", c.trial.number)
	case c.trial != nil && (c.trial.left() > most || forGood(c.trial.lease)):
		return fmt.Sprintf("the trial of generation %d was prolonged", c.trial.number)
	case c.confirmed != nil && (trying || i.Aside) && !c.confirmed.aside():
		return fmt.Sprintf("generation %d does not stand aside as it should", i.Confirmed)
	case c.confirmed != nil && c.confirmed.aside() && !i.Aside && least(c.confirmed.yield) > most,
		c.confirmed != nil && c.confirmed.asideForGood() && !i.Aside:
		return fmt.Sprintf("generation %d was made to stand aside", i.Confirmed)
	}
	return ""
}

func is(h *held, number uint64) bool {
	return h == nil && number == 0 || h != nil && h.number == number
}

// contents compares what stands in the tables.
func (c *change) contents(i intent, heard nft.Change) (string, error) {
	for _, h := range []*held{c.confirmed, c.trial} {
		if h == nil || h == c.trial && h.expired() {
			continue
		}
		parts, err := h.parts(c.nft)
		if err != nil {
			return "", err
		}
		if broken := gatesBroken(parts); broken != "" {
			return fmt.Sprintf("generation %d: %s", h.number, broken), nil
		}
		if meant, ok := i.Prints[h.number]; ok && printOf(parts) != meant {
			return fmt.Sprintf("the rules, chains or sets of generation %d were changed", h.number), nil
		}
		if int32(heard.GenID-i.GenID) > 0 {
			if set := editedSet(parts, heard.Events); set != "" {
				return fmt.Sprintf("the set %s of generation %d was changed", set, h.number), nil
			}
		}
	}
	return "", nil
}
