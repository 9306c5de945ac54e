package foreign_test

import (
	"slices"
	"strings"
	"testing"

	"moonlatch/engine/foreign"
	"moonlatch/engine/nft"
)

// ours is a table with a set that a program of its own fills.
const ours = `
nft 'table inet ours { set bad { type ipv4_addr; flags timeout; elements = { 192.0.2.1 timeout 1h }; }; chain input { type filter hook input priority 0; ip saddr @bad drop; }; }'
`

// TestRestoreAround leaves a table alone that has only got new elements, and
// puts one back that has lost more.
func TestRestoreAround(t *testing.T) {
	isOurs := func(t nft.Table) bool { return t.Name == "ours" }
	for name, tt := range map[string]struct {
		damage string
		kept   bool // what was added since the snapshot
	}{
		"others changed":  {`nft delete table inet mine; iptables-legacy -F; nft add table inet more`, true},
		"rule deleted":    {`nft flush chain inet ours input`, false},
		"another of ours": {`nft add table ip ours`, false},
		"flushed":         {`nft flush ruleset`, false},
	} {
		t.Run(name, func(t *testing.T) {
			machine(t, rules+ours, func(tools *foreign.Tools) {
				before := listing(t)
				s, err := tools.Take(t.Context())
				must(t, err)
				shell(t, `nft add element inet ours bad '{ 192.0.2.9 timeout 1h }'; `+tt.damage)
				must(t, tools.RestoreAround(t.Context(), s, isOurs))
				kept := shell(t, `nft list set inet ours bad`)
				if strings.Contains(kept, "192.0.2.9") != tt.kept {
					t.Errorf("the element added since: kept %v, want %v", !tt.kept, tt.kept)
				}
				if tt.kept {
					shell(t, `nft delete element inet ours bad '{ 192.0.2.9 }'`)
				}
				if now := listing(t); sortedTables(now) != sortedTables(before) {
					t.Errorf("now:\n%s\nbefore:\n%s", now, before)
				}
			})
		})
	}
}

// sortedTables brings the tables of a listing in one order: one that was left
// alone now comes first.
func sortedTables(listing string) string {
	tables := strings.SplitAfter(listing, "\n}\n")
	slices.Sort(tables)
	return strings.Join(tables, "")
}
