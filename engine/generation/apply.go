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
	Lease    time.Duration // the liveness lease, see Renew; 0 for none
	Drift    OnDrift       // what follows when others change the generation; empty means ReportDrift
}

// change is one change of the generations, made while the lock is held.
type change struct {
	*Manager
	snapshot
	lock *os.File
	// changed is set when the kernel was changed, also where what follows fails.
	changed bool
	// lasting is the generation that is meant to be confirmed after the change, 0 for none, whatever
	// somebody else does to the kernel meanwhile.
	lasting uint64
}

// Apply puts a ruleset in force on trial: one transaction, after which the
// kernel itself ends the trial unless Confirm comes first. A trial that is
// already running is replaced, and its fallback stays. When Apply fails, the
// firewall is as it was; mistakes that nft found in the policy come back as
// *ruleset.Error.
func (m *Manager) Apply(ctx context.Context, req Request) (Generation, error) {
	var g Generation
	if err := errors.Join(ruleset.CheckTrial(req.Confirm), ruleset.CheckLease(req.Lease)); err != nil {
		return g, err
	}
	if err := m.bringBack(ctx); err != nil {
		return g, fmt.Errorf("%w; nothing was changed", err)
	}
	err := m.changing(ctx, func(c *change) (err error) {
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
	tables, fills := req.Ruleset.Render(ruleset.Options{Generation: n, Trial: true, Alive: req.Lease}), req.Ruleset.Fills()
	g := Generation{
		Number: n, Policy: req.Ruleset.Policy, Path: req.Path, Digest: req.Ruleset.DigestOf(tables),
		Applied: time.Now().UTC().Truncate(time.Second), By: req.By, Confirm: req.Confirm, Fallback: req.Fallback, Lease: req.Lease, Drift: req.Drift,
	}
	if first := c.describe(c.trial); first != nil && !c.trial.expired() && first.Fallback != "" {
		g.Fallback = first.Fallback
	}
	arm, err := c.arm(req.Ruleset, g)
	if err != nil {
		return Generation{}, err
	}
	saved := c.store.saving(record{Generation: g, text: tables.String(), fills: fills, files: req.Files})
	kept := req.Ruleset.Kept()
	if g.Notes, err = c.load(ctx, n, tables, contents{fills, kept}, arm, saved); err != nil {
		if saved() == nil {
			err = errors.Join(err, c.store.remove(n))
		}
		return Generation{}, err
	}
	// Without it a confirm cannot say how old its session is, and that is all.
	_ = c.store.arm(n)
	return g, nil
}

// contents is what belongs into a generation's sets beside its text.
type contents struct {
	fills []ruleset.Fill
	kept  []ruleset.Kept
}

// load puts a generation's tables and the content of its large sets and kept ones into the
// kernel and then, when it is saved, arms it. Until that it lets everything through, since its lease is
// empty. It is never armed in the transaction that makes its chains: the kernel puts a chain's policy of drop in
// force a moment after the rest of that (net/netfilter/nf_tables_api.c: nft_chain_commit_drop_policy), when what was
// confirmed stands aside already. The notes are those of inherit.
func (c *change) load(ctx context.Context, n uint64, tables *ruleset.Script, in contents, arm *ruleset.Script, saved func() error) (notes []string, err error) {
	if err := c.run(ctx, tables); err != nil {
		return nil, err
	}
	err = c.fill(n, in.fills)
	if err == nil {
		err = saved()
	}
	if err == nil { // last, so that little comes between it and what it takes over from
		notes, err = c.inherit(n, in.kept)
	}
	if err == nil {
		err = c.run(ctx, arm)
	}
	if err != nil {
		return nil, errors.Join(err, c.discard())
	}
	return notes, nil
}

// run executes generated text and shows nft's complaints where the policy has
// to be mended.
func (c *change) run(ctx context.Context, script *ruleset.Script) error {
	if err := c.nft.Run(ctx, []byte(script.String()), c.lock); err != nil {
		return blame(err, script)
	}
	return nil
}

// discard takes away what was loaded of a generation that was never armed.
func (c *change) discard() error {
	now, err := readKernel(c.nft)
	if err != nil {
		return err
	}
	tx := c.nft.Begin()
	for _, h := range append(now.stale, now.trial) {
		if h != nil && h.expired() {
			deleteTables(tx, h)
		}
	}
	return tx.Commit()
}

// arm is the transaction that puts a loaded generation in force: the yield of
// the confirmed one, the end of what the new one replaces, and last the elements
// of both gates side by side, the yield's first, so that the confirmed
// generation is back no later than the new one is gone.
func (c *change) arm(r *ruleset.Ruleset, g Generation) (*ruleset.Script, error) {
	s := &ruleset.Script{}
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
		if g.Lease > 0 {
			s.Line("%s", ruleset.FillGate(f, ruleset.Table(g.Number), ruleset.Alive, g.Lease))
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
		if refused := script.Refused(l.Line, l.Message); refused != nil {
			errs = append(errs, refused)
		}
	}
	if len(errs) == 0 {
		return fmt.Errorf("apply the ruleset: %w; nothing was changed", err)
	}
	return errors.Join(errs...)
}
