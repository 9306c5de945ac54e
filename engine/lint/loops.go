package lint

import (
	"slices"

	"moonlatch/engine/ruleset"
)

// Loop returns chains that jump or go to one another in a circle, from the first that is declared on, with that one
// last once more; nil where there are none. The kernel refuses what leads into one.
func Loop(r *ruleset.Ruleset) []*ruleset.Chain {
	done := map[*ruleset.Chain]bool{}
	for _, c := range r.Chains {
		if loop := follow(c, nil, done); loop != nil {
			return loop
		}
	}
	return nil
}

// follow looks for a loop among what a chain leads to, by way of the chains before it.
func follow(c *ruleset.Chain, way []*ruleset.Chain, done map[*ruleset.Chain]bool) []*ruleset.Chain {
	if i := slices.Index(way, c); i >= 0 {
		return append(way[i:], c)
	}
	if done[c] {
		return nil
	}
	way = append(way, c)
	for _, to := range Targets(c) {
		if loop := follow(to, way, done); loop != nil {
			return loop
		}
	}
	done[c] = true
	return nil
}

// Targets are the chains that a chain's rules jump or go to, but for those that nft text names.
func Targets(c *ruleset.Chain) (out []*ruleset.Chain) {
	add := func(v ruleset.Verdict) {
		if v.To != nil {
			out = append(out, v.To)
		}
	}
	for _, r := range c.Rules {
		for _, item := range r.Items {
			switch i := item.(type) {
			case ruleset.Verdict:
				add(i)
			case ruleset.Dispatch:
				for _, b := range i.Branches {
					add(b.To)
				}
			}
		}
	}
	return out
}
