package generation

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// tablePart is a part of a generation's table.
type tablePart struct {
	table nft.Table
	nft.Part
}

// parts lists everything that stands in a generation's tables.
func (h *held) parts(c *nft.Client) ([]tablePart, error) {
	var out []tablePart
	for _, t := range h.tables {
		parts, err := c.Parts(t)
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			out = append(out, tablePart{t, p})
		}
	}
	return out, nil
}

// print is equal as long as nobody but moonlatch changes a generation.
func (h *held) print(c *nft.Client) (string, error) {
	parts, err := h.parts(c)
	return printOf(parts), err
}

// printOf leaves the gates out, which moonlatch itself puts in and takes away.
func printOf(parts []tablePart) string {
	sum := sha256.New()
	var line []byte
	for _, p := range parts {
		if p.gate() == "" {
			line = append(append(line[:0], p.table.String()...), ' ')
			line = append(append(append(line, p.Object...), ' '), p.Name...)
			sum.Write(append(append(line, ' '), p.Sum[:]...))
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// gate is the gate that a part belongs to, or "".
func (p tablePart) gate() string {
	for _, g := range gates {
		if p.Object == "set" && p.Name == g.set || p.Object == "rule" && p.Comment == g.comment {
			return g.set
		}
	}
	return ""
}

// gates are the names of the gates' sets and the comments of their rules.
var gates = [...]struct{ set, comment string }{
	{ruleset.Lease, ruleset.LeaseComment},
	{ruleset.Yield, ruleset.YieldComment},
	{ruleset.Alive, ruleset.AliveComment},
}

// gatesBroken tells of a gate whose rule is not in every base chain, before all others.
func gatesBroken(parts []tablePart) string {
	type chain struct {
		nft.Table
		name string
	}
	rules := map[chain][]string{} // the gates at the beginning of each chain
	behind := map[chain]bool{}
	for _, p := range parts {
		at := chain{p.table, p.Name}
		switch gate := p.gate(); {
		case p.Object != "rule":
		case gate == "":
			behind[at] = true
		case !behind[at]:
			rules[at] = append(rules[at], gate)
		}
	}
	for _, set := range parts {
		if set.Object != "set" || set.gate() == "" {
			continue
		}
		for _, p := range parts {
			if p.Object == "chain" && p.Base && p.table == set.table && !slices.Contains(rules[chain{p.table, p.Name}], set.Name) {
				return fmt.Sprintf("the chain %s does not begin with the rule of its gate %q", p.Name, set.Name)
			}
		}
	}
	return ""
}

// editedSet is a set of the author's whose elements somebody was heard to change.
func editedSet(parts []tablePart, events []nft.Event) string {
	for _, e := range events {
		for _, p := range parts {
			if e.Object == "element" && p.Object == "set" && p.Static && e.Table == p.table && e.Name == p.Name {
				return p.Name
			}
		}
	}
	return ""
}
