package ban

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"moonlatch/engine/nft"
)

// core is the table that this package owns.
func core() nft.Table { return nft.Table{Family: nft.Inet, Name: "moonlatch"} }

// set is the name of a set in the core table.
type set string

// The sets that hold bans, and those of what is never banned.
const (
	banned4    set = "banned4"    // IPv4 addresses
	banned6    set = "banned6"    // IPv6 addresses
	banned6s64 set = "banned6_64" // IPv6 /64s by their first address: a hash, as they are the usual IPv6 ban
	banned4net set = "banned4net" // prefixes
	banned6net set = "banned6net"
	protected4 set = "protected4"
	protected6 set = "protected6"
)

// How many elements the sets hold. A prefix counts twice, with its first address
// and the one after its last.
const (
	hashSize     = 1 << 20
	intervalSize = 1 << 17
)

// setSpec is how a set is declared.
type setSpec struct {
	name       set
	key        string // nft's type
	interval   bool
	hasTimeout bool
}

func setSpecs() []setSpec {
	return []setSpec{
		{protected4, "ipv4_addr", true, false},
		{protected6, "ipv6_addr", true, false},
		{banned4, "ipv4_addr", false, true},
		{banned6, "ipv6_addr", false, true},
		{banned6s64, "ipv6_addr", false, true},
		{banned4net, "ipv4_addr", true, true},
		{banned6net, "ipv6_addr", true, true},
	}
}

// bannedSets are the sets that hold bans.
func bannedSets() []set { return []set{banned4, banned4net, banned6, banned6s64, banned6net} }

// family is that of the set's addresses.
func (s set) family() Family {
	if s == banned4 || s == banned4net || s == protected4 {
		return IPv4
	}
	return IPv6
}

// net reports whether the set holds prefixes.
func (s set) net() bool { return s == banned4net || s == banned6net }

// declaration returns the set's own text, with room for size elements.
func (s setSpec) declaration(size int) string {
	var flags []string
	if s.interval {
		flags = append(flags, "interval")
	}
	if s.hasTimeout {
		flags = append(flags, "timeout")
	}
	return fmt.Sprintf("{ type %s; flags %s; size %d; }", s.key, strings.Join(flags, ","), size)
}

// hook runs the chain before connection tracking, so that a ban holds for every
// protocol, for established connections and for what is forwarded.
const hook = "type filter hook prerouting priority raw - 10; policy accept;"

// rules are those of the chain, as nft lists them. The names of sets and counters are apart in nft.
func rules() []string {
	return []string{
		`ip saddr @protected4 accept`,
		`ip6 saddr @protected6 accept`,
		`ip saddr @banned4 counter name "banned4" drop`,
		`ip saddr @banned4net counter name "banned4" drop`,
		`ip6 saddr & ffff:ffff:ffff:ffff:: @banned6_64 counter name "banned6" drop`,
		`ip6 saddr @banned6 counter name "banned6" drop`,
		`ip6 saddr @banned6net counter name "banned6" drop`,
	}
}

const chainName = "early"

// script makes the table, or completes and mends it: sets keep their elements,
// counters their counts, and the chain is made anew without a packet passing between.
func script(hashSize int) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("add table %s", core())
	for _, s := range setSpecs() {
		size := hashSize
		if s.interval {
			size = intervalSize
		}
		line("add set %s %s %s", core(), s.name, s.declaration(size))
	}
	for _, counter := range []string{"banned4", "banned6"} {
		line("add counter %s %s", core(), counter)
	}
	line("add chain %s %s", core(), chainName) // so that there is one to delete
	line("flush chain %s %s", core(), chainName)
	line("delete chain %s %s", core(), chainName)
	line("add chain %s %s { %s }", core(), chainName, hook)
	for _, r := range rules() {
		line("add rule %s %s %s", core(), chainName, r)
	}
	return b.String()
}

// listing is how nft lists the chain when it is as it should be.
func listing() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\tchain %s {\n\t\t%s\n", chainName, hook)
	for _, r := range rules() {
		fmt.Fprintf(&b, "\t\t%s\n", r)
	}
	b.WriteString("\t}\n")
	return b.String()
}

// ensure makes the core table what it should be. It reports whether a set was missing, and
// thus is empty when it is made, which is not certain after an error.
func ensure(ctx context.Context, c *nft.Client) (missing bool, err error) {
	for _, s := range setSpecs() {
		info, err := c.SetInfo(core(), string(s.name))
		switch {
		case errors.Is(err, nft.ErrNotExist):
			missing = true
		case err != nil:
			return false, fmt.Errorf("check the core table: %w", err)
		case info.Interval != s.interval || info.HasTimeout != s.hasTimeout:
			return false, fmt.Errorf("set %s of table %s is not the one that moonlatch makes; "+
				"delete the table, which holds all bans, with: nft delete table %s", s.name, core(), core())
		}
	}
	if !missing && chainIsFine(ctx, c) {
		return false, nil
	}
	if err := c.Run(ctx, []byte(script(hashSize))); err != nil {
		return missing, fmt.Errorf("make the core table: %w", err)
	}
	return missing, nil
}

// chainIsFine compares the chain with its listing. Where another version of nft
// lists it differently, it is made anew each time, which does no harm. To list a
// chain or a table alone, nft reads all elements of its sets, which may take a
// minute; to list the ruleset without elements it reads none.
func chainIsFine(ctx context.Context, c *nft.Client) bool {
	out, err := c.Output(ctx, "--stateless", "--terse", "list", "ruleset")
	if err != nil {
		return false
	}
	_, table, _ := strings.Cut(string(out), fmt.Sprintf("table %s {\n", core()))
	table, _, _ = strings.Cut(table, "\n}\n")
	return strings.Contains(strings.ReplaceAll(table+"\n", " == ", " "), listing())
}

// Sets names the core table and its sets of bans, for who reads or ages them.
func Sets() (nft.Table, []string) {
	var names []string
	for _, s := range bannedSets() {
		names = append(names, string(s))
	}
	return core(), names
}
