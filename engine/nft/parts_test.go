package nft_test

import (
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/nft"
)

const partsRules = `
table inet t {
	set hosts { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }; }
	set nets { type ipv4_addr; flags interval; elements = { 198.51.100.0/24 }; }
	set seen { type ipv4_addr; flags dynamic,timeout; timeout 1m; size 100; }
	set lease { type mark; flags timeout; }
	map to { type inet_service : verdict; elements = { 22 : accept }; }
	counter named { }
	limit slow { rate 10/second; }
	chain sub { counter name named; }
	chain out {
		type filter hook output priority 0; policy accept;
		udp dport 9 counter add @seen { ip daddr } comment "discard"
		ip saddr @hosts drop
		ip saddr { 192.0.2.3, 192.0.2.4 } tcp dport vmap @to
		quota 100 mbytes jump sub
		limit name slow accept
	}
}
table inet other { chain a { counter; }; }
`

// TestParts changes a table in every way, each of which must be seen, and lets
// packets and time change it, which must not.
func TestParts(t *testing.T) {
	c := open(t, partsRules)
	parts := func() []nft.Part {
		p, err := c.Parts(table)
		must(t, err)
		return p
	}
	before := parts()
	kinds := map[string]int{}
	for _, p := range before {
		kinds[p.Object]++
	}
	if diff := cmp.Diff(map[string]int{"table": 1, "chain": 2, "object": 2, "set": 6, "rule": 6}, kinds); diff != "" {
		t.Errorf("parts: %s", diff)
	}
	conn, err := net.Dial("udp", "127.0.0.1:9")
	must(t, err)
	defer conn.Close()
	conn.Write(make([]byte, 100))
	command(t, "add element inet t lease { 0x1 timeout 1h }; add rule inet other a drop; delete element inet t lease { 0x1 }", "-f", "-")
	if diff := cmp.Diff(before, parts()); diff != "" {
		t.Errorf("nobody changed anything: %s", diff)
	}
	for _, edit := range []string{
		"add element inet t hosts { 192.0.2.9 }",
		"delete element inet t hosts { 192.0.2.1 }",
		"delete element inet t hosts { 192.0.2.1 }; add element inet t hosts { 192.0.2.9 }",
		"delete element inet t nets { 198.51.100.0/24 }; add element inet t nets { 198.51.100.0/25 }",
		"delete element inet t to { 22 }; add element inet t to { 22 : drop }",
		"add rule inet t out drop",
		"insert rule inet t sub drop",
		"flush chain inet t sub",
		"flush table inet t",
		"add chain inet t more",
		"chain inet t out { policy drop; }",
		"add table inet t { flags dormant; }",
		"add set inet t more { type ipv4_addr; }",
		"flush chain inet t out; delete set inet t lease",
		"add counter inet t more",
	} {
		command(t, "flush ruleset\n"+partsRules, "-f", "-")
		if diff := cmp.Diff(before, parts()); diff != "" {
			t.Fatalf("the same ruleset once more has other parts: %s", diff)
		}
		command(t, edit, "-f", "-")
		if cmp.Equal(before, parts()) {
			t.Errorf("not seen: %s", edit)
		}
	}
	command(t, "flush ruleset", "-f", "-")
	if _, err := c.Parts(table); !errors.Is(err, nft.ErrNotExist) {
		t.Errorf("of no table: %v", err)
	}
}
