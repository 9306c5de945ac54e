package engine

import (
	"context"
	"fmt"

	"moonlatch/engine/control"
	"moonlatch/engine/generation"
	"moonlatch/engine/nft"
	"moonlatch/engine/plan"
	"moonlatch/engine/ruleset"
)

// changeLines is how many lines of each side of a change are told: a set may
// have changed by a million elements.
const changeLines = 50

// Rules implements control.Service.
func (f *Firewall) Rules(context.Context) (control.RuleList, error) {
	out := control.RuleList{APIVersion: control.Version, Rules: []control.Rule{}}
	s, err := f.generations.State()
	if err != nil {
		return out, explain(err)
	}
	g := s.InForce()
	if g == nil {
		return out, nil
	}
	text, _, err := f.generations.Text(g.Number)
	if err != nil {
		return out, explain(fmt.Errorf("the rules in force cannot be told: %w", err))
	}
	out.Generation = g.Number
	counts := ruleCounts{nft: f.nft, generation: g.Number}
	for _, r := range plan.Parse(text, nil).Rules() {
		n, err := counts.of(r)
		if err != nil {
			return out, explain(err)
		}
		chain := r.Chain
		if r.Family != string(ruleset.Inet) {
			chain = r.Family + " " + chain
		}
		out.Rules = append(out.Rules, control.Rule{Chain: chain, Head: r.Head, Name: r.Name, Text: r.Lines, Packets: n.packets, Bytes: n.bytes})
	}
	return out, nil
}

// ruleCounts are the counters of a generation's rules, read once a family.
type ruleCounts struct {
	nft        *nft.Client
	generation uint64
	families   map[string]map[ruleKey]ruleCount
}

type ruleKey struct{ chain, name string }

type ruleCount struct{ packets, bytes uint64 }

func (c *ruleCounts) of(r plan.Rule) (ruleCount, error) {
	if c.families[r.Family] == nil {
		if err := c.read(r.Family); err != nil {
			return ruleCount{}, err
		}
	}
	return c.families[r.Family][ruleKey{r.Chain, r.Name}], nil
}

func (c *ruleCounts) read(name string) error {
	family, err := nft.ParseFamily(name)
	if err != nil {
		return err
	}
	rules, err := c.nft.Rules(nft.Table{Family: family, Name: ruleset.Table(c.generation)})
	if unreadable(err) {
		return err
	}
	sums := map[ruleKey]ruleCount{}
	for _, r := range rules {
		k := ruleKey{r.Chain, r.Comment}
		sums[k] = ruleCount{sums[k].packets + r.Packets, sums[k].bytes + r.Bytes}
	}
	if c.families == nil {
		c.families = map[string]map[ruleKey]ruleCount{}
	}
	c.families[name] = sums
	return nil
}

// Changes implements control.Service.
func (f *Firewall) Changes(context.Context) (control.ChangeList, error) {
	out := control.ChangeList{APIVersion: control.Version, Changes: []control.Change{}}
	s, err := f.generations.State()
	if err != nil {
		return out, explain(err)
	}
	if s.Trial == nil || s.Expired {
		return out, explain(generation.ErrNoTrial)
	}
	from, err := f.listing(s.Confirmed)
	if err != nil {
		return out, explain(err)
	}
	to, err := f.listing(s.Trial)
	if err != nil {
		return out, explain(err)
	}
	out.Trial, out.Against = *describe(s.Trial), describe(s.Confirmed)
	for _, c := range plan.Compare(from, to) {
		c.Old, c.New = cut(c.Old), cut(c.New)
		out.Changes = append(out.Changes, control.Change(c))
	}
	return out, nil
}

// listing is a generation as it is stored; that of none is empty.
func (f *Firewall) listing(g *generation.Generation) (*plan.Listing, error) {
	if g == nil {
		return plan.Parse("", nil), nil
	}
	text, fills, err := f.generations.Text(g.Number)
	if err != nil {
		return nil, fmt.Errorf("what the trial changes cannot be told: %w", err)
	}
	return plan.Parse(text, fills), nil
}

// cut shortens a long list, and says so in its last line.
func cut(lines []string) []string {
	if len(lines) <= changeLines {
		return lines
	}
	return append(lines[:changeLines:changeLines], fmt.Sprintf("… and %d more", len(lines)-changeLines))
}
