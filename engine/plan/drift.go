package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"moonlatch/engine/ruleset"
)

// filled are the sets that packets or time change: what they hold is nobody's doing.
var filled = regexp.MustCompile(`\bflags [\w,]*(dynamic|timeout)`)

// Drift lists what somebody has changed of a ruleset, from two listings of nft's: of what was meant,
// and of what the kernel holds. The elements of sets that packets fill do not count.
func Drift(meant, held *Listing) []Change {
	for _, l := range []*Listing{meant, held} {
		for _, b := range l.blocks {
			if filled.MatchString(b.head) {
				clear(b.elements)
			}
		}
	}
	return Compare(meant, held)
}

// ListSets are the nft commands that list the sets and maps of a table, those of fills excepted, with what they hold.
func (l *Listing) ListSets(table string, fills []ruleset.Fill) []string {
	var out []string
	for _, b := range l.blocks {
		words := strings.Fields(b.kind)
		kind, family := words[len(words)-1], string(ruleset.Inet)
		if len(words) > 1 {
			family = words[0]
		}
		isFill := func(f ruleset.Fill) bool { return string(f.Family) == family && f.Set == b.name }
		if (kind == "set" || kind == "map") && !slices.ContainsFunc(fills, isFill) {
			out = append(out, fmt.Sprintf("list %s %s %s %s", kind, family, table, b.name))
		}
	}
	return out
}
