package engine

import (
	"fmt"

	"moonlatch/engine/control"
	"moonlatch/engine/generation"
	"moonlatch/engine/nft"
	"moonlatch/engine/plan"
	"moonlatch/engine/policy"
)

// Plan is what applying a policy would change.
type Plan struct {
	APIVersion string              `json:"apiVersion"`
	Policy     string              `json:"policy"`
	Against    *control.Generation `json:"against"` // in force now; nil when everything passes
	Changes    []plan.Change       `json:"changes"`
}

// PlanFor compares a policy with the generation in force, and changes nothing.
func PlanFor(state string, p *policy.Policy, req control.ApplyRequest) (Plan, error) {
	out := Plan{APIVersion: control.Version, Policy: req.Entry, Changes: []plan.Change{}}
	client, err := nft.Open(nft.Config{})
	if err != nil {
		return out, explain(err)
	}
	defer client.Close()
	g, err := generation.Open(generation.Config{NFT: client, Dir: state})
	if err != nil {
		return out, explain(err)
	}
	s, err := g.State()
	if err != nil {
		return out, explain(err)
	}
	from := plan.Parse("", nil)
	if now := s.InForce(); now != nil {
		text, fills, err := g.Text(now.Number)
		if err != nil {
			return out, explain(fmt.Errorf("what is in force cannot be compared with: %w; moonlatch apply still works", err))
		}
		out.Against, from = describe(now), plan.Parse(text, fills)
	}
	rules, err := forThisHost(p, req)
	if err != nil {
		return out, explain(err)
	}
	if changes := plan.Compare(from, plan.Render(rules)); changes != nil {
		out.Changes = changes
	}
	return out, nil
}
