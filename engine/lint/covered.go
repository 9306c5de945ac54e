// Package lint finds what a ruleset says that its author most likely did not
// mean: rules that can never match, and packets that must pass and do not. It
// says nothing where it is not certain.
package lint

import (
	"reflect"
	"slices"
	"strings"

	"go4.org/netipx"

	"moonlatch/engine/ruleset"
)

// Covered is a rule that can never match, because an earlier one of its chain
// takes all its packets.
type Covered struct {
	Chain *ruleset.Chain
	Rule  *ruleset.Rule
	By    *ruleset.Rule
}

// CoveredRules lists the rules that can never match. Each is compared with the
// rules before it, in time that grows with the square of a chain's length, so
// only the first maxCompared of a chain are looked at.
func CoveredRules(r *ruleset.Ruleset) []Covered {
	var out []Covered
	for _, c := range r.Chains {
		var final []*ruleset.Rule
		for _, rule := range c.Rules[:min(len(c.Rules), maxCompared)] {
			if i := slices.IndexFunc(final, func(by *ruleset.Rule) bool { return covers(by, rule) }); i >= 0 {
				out = append(out, Covered{c, rule, final[i]})
			} else if takesAll(rule) {
				final = append(final, rule)
			}
		}
	}
	return out
}

const maxCompared = 1000

// takesAll reports whether the rule keeps every packet that its fields match:
// it ends in a verdict, and nothing but the fields decides.
func takesAll(r *ruleset.Rule) bool {
	for _, f := range r.Fields {
		switch f.(type) {
		case ruleset.Limit, ruleset.Connections, ruleset.Quota, ruleset.Budget:
			return false
		}
	}
	if len(r.Items) == 0 || slices.ContainsFunc(r.Items, func(i ruleset.Item) bool { _, is := i.(ruleset.Text); return is }) {
		return false
	}
	v, ok := r.Items[len(r.Items)-1].(ruleset.Verdict)
	return ok && slices.Contains([]string{"accept", "drop", "reject", "return", "goto"}, v.Kind)
}

// covers reports whether every packet that b matches is certainly one of a's:
// each of a's conditions follows from one of b's.
func covers(a, b *ruleset.Rule) bool {
	for _, wide := range a.Fields {
		if !slices.ContainsFunc(b.Fields, func(narrow ruleset.Field) bool { return follows(wide, narrow) }) {
			return false
		}
	}
	return true
}

// follows reports whether wide certainly holds where narrow does.
func follows(wide, narrow ruleset.Field) bool {
	switch w := wide.(type) {
	case ruleset.Ports:
		return portsFollow(w, narrow)
	case ruleset.Protocols:
		return protocolsFollow(w, narrow)
	case ruleset.Addr:
		n, ok := narrow.(ruleset.Addr)
		return ok && addressesFollow(w, n)
	case ruleset.Interface:
		n, ok := narrow.(ruleset.Interface)
		return ok && !w.Not && !n.Not && w.Dir == n.Dir && subset(n.Names, w.Names, namesInterface)
	case ruleset.ConnState:
		n, ok := narrow.(ruleset.ConnState)
		return ok && !w.Not && !n.Not && subset(n.States, w.States, same)
	case ruleset.ICMP:
		n, ok := narrow.(ruleset.ICMP)
		anyType := len(w.V4)+len(w.V6) == 0
		return ok && (anyType || !w.Not && !n.Not && len(n.V4)+len(n.V6) > 0 && subset(n.V4, w.V4, sameByte) && subset(n.V6, w.V6, sameByte))
	}
	return reflect.DeepEqual(wide, narrow)
}

func portsFollow(w ruleset.Ports, narrow ruleset.Field) bool {
	n, ok := narrow.(ruleset.Ports)
	if !ok || w.Proto != n.Proto {
		return false
	}
	if len(w.Ranges)+len(w.Sets) == 0 {
		return true // every packet of the protocol
	}
	if w.Dir != n.Dir || w.Not || n.Not || len(n.Ranges)+len(n.Sets) == 0 {
		return reflect.DeepEqual(w, n)
	}
	return subset(allPorts(n), allPorts(w), func(r, in ruleset.PortRange) bool { return in.From <= r.From && r.To <= in.To })
}

func allPorts(p ruleset.Ports) []ruleset.PortRange {
	out := slices.Clone(p.Ranges)
	for _, s := range p.Sets {
		out = append(out, s.Ports...)
	}
	return out
}

func protocolsFollow(w ruleset.Protocols, narrow ruleset.Field) bool {
	switch n := narrow.(type) {
	case ruleset.Protocols:
		return !w.Not && !n.Not && subset(n.Numbers, w.Numbers, sameByte)
	case ruleset.Ports:
		numbers := map[string]uint8{"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "udplite": 136} // IPPROTO_* of netinet/in.h
		number, known := numbers[n.Proto]
		return known && slices.Contains(w.Numbers, number) != w.Not
	}
	return false
}

func addressesFollow(w, n ruleset.Addr) bool {
	if w.Dir != n.Dir || w.Not || n.Not {
		return reflect.DeepEqual(w, n)
	}
	wide, okWide := content(w)
	narrow, okNarrow := content(n)
	if !okWide || !okNarrow {
		return false
	}
	for _, r := range narrow.Ranges() {
		if !wide.ContainsRange(r) {
			return false
		}
	}
	return len(narrow.Ranges()) > 0
}

// content is every address of a field, unless packets fill one of its sets.
func content(a ruleset.Addr) (*netipx.IPSet, bool) {
	var b netipx.IPSetBuilder
	if a.Addrs != nil {
		b.AddSet(a.Addrs)
	}
	for _, s := range a.Sets {
		if s.Changes() || s.Addrs.Len() > maxCompared {
			return nil, false
		}
		s.Addrs.AddTo(&b)
	}
	set, err := b.IPSet()
	return set, err == nil
}

// subset reports whether each of list is in one of of.
func subset[T any](list, of []T, in func(x, of T) bool) bool {
	for _, x := range list {
		if !slices.ContainsFunc(of, func(y T) bool { return in(x, y) }) {
			return false
		}
	}
	return true
}

func same(a, b string) bool    { return a == b }
func sameByte(a, b uint8) bool { return a == b }

// namesInterface reports whether every interface that name means is one of of.
func namesInterface(name, of string) bool {
	prefix, wild := strings.CutSuffix(of, "*")
	return name == of || wild && strings.HasPrefix(strings.TrimSuffix(name, "*"), prefix)
}
