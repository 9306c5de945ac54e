package lint

import (
	"net/netip"
	"slices"

	"moonlatch/engine/ruleset"
)

// Dropped tells where a packet is certainly dropped.
type Dropped struct {
	Chain *ruleset.Chain
	Rule  *ruleset.Rule // nil where the chain's policy drops it
}

// Reach looks for what certainly drops the first packet of a new TCP connection
// from an address to a port of this host. Certain is what no other address,
// interface, time, rate or mark could change; where a rule may let it pass, it
// is taken to pass. It returns nil where nothing certainly drops it.
func Reach(r *ruleset.Ruleset, from netip.Addr, port uint16) *Dropped {
	for _, c := range r.Chains {
		if (c.Hook != "input" && c.Hook != "prerouting") || c.Type != "filter" || c.Family != "" && c.Family != ruleset.Inet {
			continue
		}
		w := walk{from: from.Unmap(), port: port}
		end, d := w.chain(c, 0)
		switch {
		case end == dropped:
			return d
		case end == fellThrough && c.Policy == "drop" && !w.mayPass:
			return &Dropped{Chain: c}
		}
	}
	return nil
}

// walk follows one packet through a ruleset.
type walk struct {
	from    netip.Addr
	port    uint16
	mayPass bool // a rule that may match lets it pass
}

// What becomes of the packet in a chain.
type end int

const (
	fellThrough end = iota
	dropped
	passed
)

// maxDepth bounds jumps: a policy may have its chains go in circles.
const maxDepth = 16

func (w *walk) chain(c *ruleset.Chain, depth int) (end, *Dropped) {
	if depth == maxDepth {
		return passed, nil
	}
	for _, r := range c.Rules {
		match := w.rule(r)
		if match == no || len(r.Items) == 0 {
			continue
		}
		e, d := w.verdict(c, r, depth)
		switch {
		case e == fellThrough:
			if v, is := r.Items[len(r.Items)-1].(ruleset.Verdict); is && match == yes && (v.Kind == "return" || v.Kind == "goto") {
				return fellThrough, nil
			}
		case e == passed && match == maybe:
			w.mayPass = true
		case match == yes && (e == passed || !w.mayPass):
			return e, d
		case match == yes:
			return passed, nil // something before may have let it pass
		}
	}
	return fellThrough, nil
}

// verdict is what becomes of a packet that the rule matches.
func (w *walk) verdict(c *ruleset.Chain, r *ruleset.Rule, depth int) (end, *Dropped) {
	switch v := r.Items[len(r.Items)-1].(type) {
	case ruleset.Verdict:
		switch v.Kind {
		case "drop", "reject":
			return dropped, &Dropped{c, r}
		case "accept":
			return passed, nil
		case "jump", "goto":
			return w.chain(v.To, depth+1)
		}
		return fellThrough, nil
	case ruleset.Text, ruleset.Dispatch:
		return passed, nil // who knows
	}
	return fellThrough, nil
}

// certainty is whether a condition holds for the packet.
type certainty int

const (
	no certainty = iota
	maybe
	yes
)

func (w *walk) rule(r *ruleset.Rule) certainty {
	out := yes
	for _, f := range r.Fields {
		out = min(out, w.field(f))
	}
	if slices.ContainsFunc(r.Items, func(i ruleset.Item) bool { _, is := i.(ruleset.Text); return is }) {
		out = min(out, maybe)
	}
	return out
}

func (w *walk) field(f ruleset.Field) certainty {
	switch f := f.(type) {
	case ruleset.Addr:
		return w.address(f)
	case ruleset.Ports:
		return w.ports(f)
	case ruleset.Protocols:
		return sure(slices.Contains(f.Numbers, 6) != f.Not) // IPPROTO_TCP
	case ruleset.ICMP:
		return no
	case ruleset.ConnState:
		return sure(slices.Contains(f.States, "new") != f.Not)
	case ruleset.TCPFlags:
		const syn = 0x02
		return sure((syn&f.Mask == f.Set) != f.Not)
	case ruleset.Interface:
		if slices.Equal(f.Names, []string{"lo"}) && f.Dir == ruleset.Src {
			return sure(f.Not) // it comes from elsewhere
		}
	}
	return maybe
}

func (w *walk) address(f ruleset.Addr) certainty {
	set, known := content(f)
	switch {
	case f.Dir == ruleset.Dst, !known:
		return maybe
	case set.Contains(w.from):
		return sure(!f.Not)
	}
	return sure(f.Not)
}

func (w *walk) ports(f ruleset.Ports) certainty {
	switch {
	case f.Proto != "tcp" && f.Proto != "th":
		return no
	case len(f.Ranges)+len(f.Sets) == 0:
		return yes
	case f.Dir == ruleset.Src:
		return maybe
	}
	in := slices.ContainsFunc(allPorts(f), func(r ruleset.PortRange) bool { return r.From <= w.port && w.port <= r.To })
	return sure(in != f.Not)
}

func sure(is bool) certainty {
	if is {
		return yes
	}
	return no
}
