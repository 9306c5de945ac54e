package main

import (
	"fmt"
	"net/netip"

	"moonlatch/engine/lint"
	"moonlatch/engine/policy"
)

// warnings lists what a policy says that its author most likely did not mean.
func warnings(p *policy.Policy) []string {
	out := []string{}
	if w := lockedOut(p); w != "" {
		out = append(out, w)
	}
	for _, w := range p.Warnings() {
		out = append(out, w.Error())
	}
	return out
}

// lockedOut warns of a policy that drops the connections by which its author
// administers this host.
func lockedOut(p *policy.Policy) string {
	s, ok := ownSession()
	from, err := netip.ParseAddr(s.client)
	if !ok || err != nil {
		return ""
	}
	d := lint.Reach(p.Ruleset(), from, s.port)
	if d == nil {
		return ""
	}
	pos, by := d.Chain.Pos, fmt.Sprintf("the policy of chain %q", d.Chain.Name)
	if d.Rule != nil {
		pos, by = d.Rule.Pos, fmt.Sprintf("rule %q", d.Rule.Name)
	}
	return fmt.Sprintf("%s: %s drops new connections from %s to port %d, as yours is: you could not come in again", pos, by, from, s.port)
}
