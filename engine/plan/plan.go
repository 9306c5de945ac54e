package plan

import (
	"slices"
	"sort"
	"strings"

	"moonlatch/engine/ruleset"
)

// What a Change does.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
	Moved   = "moved" // the same rule, behind or before others than it was
)

// Change is one difference. Old and New are nft text, as far as there was or
// will be any; of a set they are the elements taken out and put in.
type Change struct {
	Action string   `json:"action"`
	Kind   string   `json:"kind"`            // chain, rule, set, map, …
	Chain  string   `json:"chain,omitempty"` // of a rule
	Name   string   `json:"name"`
	Place  string   `json:"place,omitempty"` // in the new policy
	Old    []string `json:"old,omitempty"`
	New    []string `json:"new,omitempty"`
}

// Compare lists what has to change to get from one ruleset to another, in the
// order of the new one; what is removed comes last.
func Compare(from, to *Listing) []Change {
	var out []Change
	for _, b := range to.blocks {
		old := from.byName[b.key()]
		if old == nil {
			out = append(out, Change{Action: Added, Kind: b.kind, Name: b.name, Place: place(b.place), New: append(heads(b), missing(b.elements, nil)...)})
			old = &block{elements: b.elements}
		} else if old.head != b.head {
			out = append(out, Change{Action: Changed, Kind: b.kind, Name: b.name, Place: place(b.place), Old: heads(old), New: heads(b)})
		}
		out = append(out, compareRules(old, b)...)
		out = append(out, compareElements(old, b)...)
	}
	for _, b := range from.blocks {
		if to.byName[b.key()] == nil {
			out = append(out, Change{Action: Removed, Kind: b.kind, Name: b.name, Old: heads(b)})
		}
	}
	return out
}

func heads(b *block) []string {
	if b.head == "" {
		return nil
	}
	return []string{b.head}
}

func place(p ruleset.Pos) string {
	if p.File == "" {
		return ""
	}
	return p.String()
}

func compareRules(old, b *block) []Change {
	was := map[string]int{}
	for i, r := range old.rules {
		was[r.name] = i
	}
	stays := inOrder(b.rules, was)
	var out []Change
	for i, r := range b.rules {
		c := Change{Kind: "rule", Chain: b.name, Name: r.name, Place: place(r.place), New: r.lines}
		j, known := was[r.name]
		if known {
			c.Old = old.rules[j].lines
		}
		switch {
		case !known:
			c.Action = Added
		case !slices.Equal(c.Old, c.New):
			c.Action = Changed
		case !stays[i]:
			c.Action = Moved
		default:
			continue
		}
		out = append(out, c)
	}
	is := map[string]bool{}
	for _, r := range b.rules {
		is[r.name] = true
	}
	for _, r := range old.rules {
		if !is[r.name] {
			out = append(out, Change{Action: Removed, Kind: "rule", Chain: b.name, Name: r.name, Old: r.lines})
		}
	}
	return out
}

// inOrder marks the most rules that can stay where they are while the others
// move: a longest increasing subsequence of their old places.
func inOrder(rules []rule, was map[string]int) []bool {
	var tails []int // tails[k] is the rule that ends the best sequence of k+1
	previous := make([]int, len(rules))
	for i, r := range rules {
		j, known := was[r.name]
		if !known {
			continue
		}
		k := sort.Search(len(tails), func(k int) bool { return was[rules[tails[k]].name] >= j })
		previous[i] = -1
		if k > 0 {
			previous[i] = tails[k-1]
		}
		if k == len(tails) {
			tails = append(tails, i)
		} else {
			tails[k] = i
		}
	}
	stays := make([]bool, len(rules))
	if len(tails) > 0 {
		for i := tails[len(tails)-1]; i >= 0; i = previous[i] {
			stays[i] = true
		}
	}
	return stays
}

// compareElements leaves out the sets of feeds: what they hold comes from outside, before and after an apply.
func compareElements(old, b *block) []Change {
	if strings.Contains(b.head, `comment "`+ruleset.FeedComment+`"`) {
		return nil
	}
	c := Change{Action: Changed, Kind: b.kind, Name: b.name, Place: place(b.place), Old: missing(old.elements, b.elements), New: missing(b.elements, old.elements)}
	if len(c.Old)+len(c.New) == 0 {
		return nil
	}
	c.Kind += " elements"
	return []Change{c}
}

// missing lists, sorted, what is in one set and not in the other.
func missing(in, from map[string]bool) []string {
	var out []string
	for e := range in {
		if !from[e] {
			out = append(out, e)
		}
	}
	slices.Sort(out)
	return out
}
