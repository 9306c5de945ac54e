package foreign

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// A Table is one table of nf_tables or of a legacy iptables, and what it holds.
type Table struct {
	Tool     string   `json:"tool"`   // nft, iptables, ip6tables or arptables
	Family   string   `json:"family"` // as nft calls it
	Name     string   `json:"name"`
	Hooks    []string `json:"hooks"` // where the kernel calls it, such as "input" or "input (policy drop)"
	Chains   int      `json:"chains"`
	Rules    int      `json:"rules"`
	Sets     int      `json:"sets"`
	Elements int      `json:"elements"`
	Owner    uint32   `json:"owner,omitempty"` // the process that alone can change it
	NAT      bool     `json:"nat"`             // it translates addresses
	Filters  bool     `json:"filters"`         // it can keep a packet from passing, or change it
}

// A Report is what the kernel says about rules.
type Report struct {
	Open   bool     `json:"open"` // no table filters
	Tables []Table  `json:"tables"`
	IPSets []string `json:"ipsets"` // the names of ipsets, which filter nothing by themselves
}

// Filtering lists the tables that filter.
func (r Report) Filtering() []Table {
	out := []Table{}
	for _, t := range r.Tables {
		if t.Filters {
			out = append(out, t)
		}
	}
	return out
}

// Verify asks the kernel what there is, and whether the machine is open. It changes nothing.
func (t *Tools) Verify(ctx context.Context) (Report, error) {
	report, err := t.survey(ctx)
	if err != nil {
		return report, fmt.Errorf("ask the kernel what filters: %w", err)
	}
	return report, nil
}

func (t *Tools) survey(ctx context.Context) (Report, error) {
	r := Report{Tables: []Table{}}
	image, err := t.nft.Image()
	if err != nil {
		return r, err
	}
	for _, table := range image.Tables() {
		r.Tables = append(r.Tables, nftTable(table))
	}
	for _, l := range legacies() {
		text, err := l.save(ctx)
		if err != nil {
			return r, err
		}
		r.Tables = append(r.Tables, l.describe(text)...)
	}
	arp, err := arpRules(ctx)
	if err != nil {
		return r, err
	}
	if len(arp) > 0 {
		r.Tables = append(r.Tables, Table{Tool: "arptables", Family: "arp", Name: "filter", Hooks: []string{}, Rules: len(arp), Filters: true})
	}
	sets, err := ipsetNumbers()
	r.IPSets = append([]string{}, slices.Sorted(maps.Values(sets))...)
	r.Open = err == nil && len(r.Filtering()) == 0
	return r, err
}

// coreSpares begins the names of those sets of Moonlatch's core table that spare addresses from bans.
const coreSpares = "protected"

func nftTable(t nft.TableImage) Table {
	out := Table{
		Tool: "nft", Family: t.Family.String(), Name: t.Name, Hooks: []string{}, Owner: t.Owner,
		Chains: t.Chains, Rules: t.Rules, Sets: t.Sets,
	}
	drops := false
	for _, h := range t.Hooks {
		name := h.Hook
		out.NAT = out.NAT || h.Type == "nat"
		if len(h.Devices) > 0 {
			name += " on " + strings.Join(h.Devices, ", ")
		}
		if h.Drops {
			name += " (policy drop)"
			drops = true
		}
		out.Hooks = append(out.Hooks, name)
	}
	// The core table is made again by a running daemon. It filters only while it holds a ban.
	acts := t.Table != (nft.Table{Family: nft.Inet, Name: ruleset.CoreTable})
	for set, n := range t.Elements {
		out.Elements += n
		acts = acts || n > 0 && !strings.HasPrefix(set, coreSpares)
	}
	out.Filters = acts && !t.Dormant && len(t.Hooks) > 0 && (t.Rules > 0 || drops)
	return out
}

// describe tells what text of iptables-save holds.
func (l legacy) describe(text string) []Table {
	var out []Table
	family := "ip"
	if l.family == "ip6tables" {
		family = "ip6"
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "*"); ok {
			out = append(out, Table{Tool: l.family, Family: family, Name: name, Hooks: []string{}, NAT: name == "nat"})
			continue
		}
		if len(out) == 0 {
			continue
		}
		t := &out[len(out)-1]
		switch words := strings.Fields(line); {
		case strings.HasPrefix(line, ":") && len(words) > 1:
			t.Chains++
			if words[1] == "-" { // not called by the kernel
				continue
			}
			hook := strings.ToLower(words[0][1:])
			if words[1] != "ACCEPT" {
				hook += " (policy " + strings.ToLower(words[1]) + ")"
				t.Filters = true
			}
			t.Hooks = append(t.Hooks, hook)
		case strings.HasPrefix(line, "["):
			t.Rules++
			t.Filters = true
		}
	}
	return out
}
