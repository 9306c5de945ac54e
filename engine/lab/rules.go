package lab

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// rules are the rules in force, as the kernel lists them.
type rules struct {
	chains map[string]*chain // by family, table and name
}

// chain is a chain of the kernel's.
type chain struct {
	table, name string
	hook, kind  string // of a base chain: "input", "filter"
	rules       []Rule
}

// Rule is a rule as the kernel lists it.
type Rule struct {
	Name   string // its comment: the policy's name of it
	Text   string // without comment and counter
	handle uint64
}

func chainKey(table, name string) string { return table + " " + name }

// list asks for the rules in force where they have changed.
func (l *Lab) list(ctx context.Context) error {
	if l.rules != nil {
		return nil
	}
	out, err := l.NFT.Output(ctx, "--handle", "--stateless", "--terse", "list", "ruleset")
	if err != nil {
		return fmt.Errorf("list the rules: %w", err)
	}
	l.rules = parseRules(string(out))
	return nil
}

var (
	handleText  = regexp.MustCompile(` # handle (\d+)$`)
	commentText = regexp.MustCompile(` comment "([^"]*)"$`)
	counterText = regexp.MustCompile(` counter (name "[^"]*" )?`)
	hookText    = regexp.MustCompile(`^type (\S+) hook (\S+) `)
)

// parseRules reads nft's listing: tables, in them chains and other blocks, in those
// one rule a line.
func parseRules(listing string) *rules {
	r := &rules{chains: map[string]*chain{}}
	var table string
	var in *chain
	for line := range strings.Lines(listing) {
		line = strings.TrimSuffix(line, "\n")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case strings.HasPrefix(line, "table ") && len(words) > 2:
			table = words[1] + " " + words[2]
		case strings.HasPrefix(line, "\tchain ") && len(words) > 1:
			in = &chain{table: table, name: words[1]}
			r.chains[chainKey(table, in.name)] = in
		case line == "\t}" || !strings.HasPrefix(line, "\t\t"):
			in = nil
		case in != nil:
			in.add(strings.TrimSpace(line))
		}
	}
	return r
}

// add reads a line of a chain.
func (c *chain) add(line string) {
	if m := hookText.FindStringSubmatch(line); m != nil {
		c.kind, c.hook = m[1], m[2]
		return
	}
	m := handleText.FindStringSubmatch(line)
	if m == nil {
		return
	}
	r := Rule{Text: strings.TrimSuffix(line, m[0])}
	r.handle, _ = strconv.ParseUint(m[1], 10, 64) // digits that the kernel numbered
	if m := commentText.FindStringSubmatch(r.Text); m != nil {
		r.Name, r.Text = m[1], strings.TrimSuffix(r.Text, m[0])
	}
	r.Text = strings.TrimSpace(counterText.ReplaceAllString(" "+r.Text+" ", " "))
	c.rules = append(c.rules, r)
}

// find returns the rule with a handle, and where it stands.
func (c *chain) find(handle uint64) int {
	for i, r := range c.rules {
		if r.handle == handle {
			return i
		}
	}
	return -1
}

// of returns the chain of a trace's step, and the rule if it is one's; the lab's own chains are nobody's.
func (r *rules) of(s step) (*chain, Rule) {
	c := r.chains[chainKey(familyName(s.family)+" "+s.table, s.chain)]
	if c == nil || s.table == ownTable {
		return nil, Rule{}
	}
	if s.kind != traceRule {
		return c, Rule{}
	}
	i := c.find(s.handle)
	if i < 0 {
		return nil, Rule{}
	}
	return c, c.rules[i]
}
