package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"moonlatch/engine/ruleset"
)

// readConnections reads "20 per src", "over 20", "20 per src/24".
func readConnections(_ *ruleReader, v value, _ bool) (ruleset.Field, error) {
	s, err := text(v)
	if err != nil {
		return nil, fmt.Errorf("a number of connections such as \"20 per src\" is expected, not %s", describe(v.LValue))
	}
	bad := fmt.Errorf("%q is no number of connections: write for example \"20 per src\", \"over 20 per src\" or \"500\"", s)
	words := strings.Fields(s)
	var c ruleset.Connections
	if len(words) > 0 && words[0] == "over" {
		c.Over, words = true, words[1:]
	}
	if len(words) != 1 && (len(words) != 3 || words[1] != "per") {
		return nil, bad
	}
	n, err := strconv.ParseUint(words[0], 10, 32)
	if err != nil || n == 0 {
		return nil, bad
	}
	c.Max = uint32(n)
	if len(words) == 3 {
		c.PerSource = true
		c.Bits4, c.Bits6, err = sourcePrefix(s, words[2])
	}
	return c, err
}

// readQuota reads an amount, or takes the quota that several rules share.
func readQuota(_ *ruleReader, v value, _ bool) (ruleset.Field, error) {
	if o, ok := unwrap[*namedObject](v.LValue); ok && o.kind == "quota" {
		if !o.ready() {
			return nil, fmt.Errorf("%s has no amount yet: %s", o, o.usage())
		}
		return ruleset.Budget{Quota: o.object}, nil
	}
	return quota(v)
}

// quota reads "10 mbytes" or "over 10 mbytes".
func quota(v value) (ruleset.Quota, error) {
	var q ruleset.Quota
	s, err := text(v)
	if err != nil {
		return q, fmt.Errorf("an amount such as \"10 mbytes\" is expected, not %s", describe(v.LValue))
	}
	words := strings.Fields(s)
	if len(words) > 0 && words[0] == "over" {
		q.Over, words = true, words[1:]
	}
	units := map[string]uint64{"bytes": 1, "kbytes": 1 << 10, "mbytes": 1 << 20, "gbytes": 1 << 30, "tbytes": 1 << 40}
	if len(words) == 2 && units[words[1]] > 0 {
		n, err := strconv.ParseUint(words[0], 10, 64)
		if err == nil && n > 0 && n <= math.MaxInt64/units[words[1]] {
			q.Bytes = n * units[words[1]]
			return q, nil
		}
	}
	return q, fmt.Errorf("%q is no amount: write for example \"10 mbytes\" or \"over 2 gbytes\" (bytes, kbytes, mbytes, gbytes, tbytes)", s)
}
