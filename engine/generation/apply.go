package generation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// Request is a ruleset to apply, and what is to be remembered of it.
type Request struct {
	Ruleset  *ruleset.Ruleset
	Path     string            // where the policy was read from
	Files    map[string][]byte // every file that the policy read
	By       string
	Confirm  time.Duration
	Fallback Fallback
}

// change is one change of the generations, made while the lock is held.
type change struct {
	*Manager
	snapshot
	lock *os.File
}

// Apply puts a ruleset in force on trial: one transaction, after which the
// kernel itself ends the trial unless Confirm comes first. A trial that is
// already running is replaced, and its fallback stays. When Apply fails, the
// firewall is as it was; mistakes that nft found in the policy come back as
// *ruleset.Error.
func (m *Manager) Apply(ctx context.Context, req Request) (Generation, error) {
	var g Generation
	if err := CheckConfirm(req.Confirm); err != nil {
		return g, err
	}
	err := m.locked(ctx, func(c *change) (err error) {
		g, err = c.apply(ctx, req)
		return err
	})
	return g, err
}

func (c *change) apply(ctx context.Context, req Request) (Generation, error) {
	n, err := c.next()
	if err != nil {
		return Generation{}, err
	}
	g := Generation{
		Number: n, Policy: req.Ruleset.Policy, Path: req.Path, Digest: req.Ruleset.Digest(),
		Applied: time.Now().UTC().Truncate(time.Second), By: req.By, Confirm: req.Confirm, Fallback: req.Fallback,
	}
	if first := c.describe(c.trial); first != nil && !c.trial.expired() && first.Fallback != "" {
		g.Fallback = first.Fallback
	}
	script, err := c.script(req.Ruleset, g)
	if err != nil {
		return Generation{}, err
	}
	text := req.Ruleset.Render(ruleset.Options{Generation: n}).String()
	if err := c.store.save(record{Generation: g, text: text, files: req.Files}); err != nil {
		return Generation{}, fmt.Errorf("%w; nothing was changed", err)
	}
	if err := c.nft.Run(ctx, []byte(script.String()), c.lock); err != nil {
		return Generation{}, errors.Join(blame(err, script), c.store.remove(n))
	}
	return g, nil
}

// script is the transaction of an apply: the new tables with their lease, the
// yield of the confirmed generation, the end of what the new one replaces, and
// last the elements of both gates side by side, the yield's first, so that the
// confirmed generation is back no later than the new one is gone.
func (c *change) script(r *ruleset.Ruleset, g Generation) (*ruleset.Script, error) {
	s := r.Render(ruleset.Options{Generation: g.Number, Trial: true})
	for _, old := range append(c.stale, c.trial) {
		if old == nil {
			continue
		}
		for _, t := range old.tables {
			s.Line("delete table %s %s", t.Family, t.Name)
		}
	}
	if c.confirmed != nil {
		if err := c.declareYield(s); err != nil {
			return nil, err
		}
		d := g.Confirm
		if g.Fallback == FallbackOpen {
			d = 0 // stands aside for good
		}
		for _, t := range c.confirmed.tables {
			s.Line("%s", ruleset.FillGate(family(t), t.Name, ruleset.Yield, d))
		}
	}
	for _, f := range r.Families() {
		s.Line("%s", ruleset.FillGate(f, ruleset.Table(g.Number), ruleset.Lease, g.Confirm))
	}
	return s, nil
}

// declareYield gives every base chain of the confirmed generation its yield, or
// empties the one it has.
func (c *change) declareYield(s *ruleset.Script) error {
	for _, t := range c.confirmed.tables {
		if c.confirmed.yields {
			s.Line("flush set %s %s %s", t.Family, t.Name, ruleset.Yield)
			continue
		}
		s.Line("%s", ruleset.DeclareGate(family(t), t.Name, ruleset.Yield))
		chains, err := c.nft.Chains(t)
		if err != nil {
			return fmt.Errorf("list the chains of %s %s: %w", t.Family, t.Name, err)
		}
		for _, chain := range chains {
			if chain.Base {
				s.Line("%s", ruleset.YieldRule(family(t), t.Name, chain.Name))
			}
		}
	}
	return nil
}

func family(t nft.Table) ruleset.Family { return ruleset.Family(t.Family.String()) }

// blame shows nft's complaints about generated text where the policy has to be mended.
func blame(err error, script *ruleset.Script) error {
	var se *nft.ScriptError
	if !errors.As(err, &se) {
		return fmt.Errorf("apply the ruleset: %w; nothing was changed", err)
	}
	var errs []error
	for _, l := range se.Lines {
		if pos, ok := script.Pos(l.Line); ok {
			errs = append(errs, ruleset.Errorf(pos, "the kernel refuses this: %s", l.Message))
		}
	}
	if len(errs) == 0 {
		return fmt.Errorf("apply the ruleset: %w; nothing was changed", err)
	}
	return errors.Join(errs...)
}
