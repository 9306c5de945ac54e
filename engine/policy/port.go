package policy

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// ports reads ports, ranges, service names and sets of ports, single or in lists.
func ports(v value, proto string) ([]ruleset.PortRange, []*ruleset.Set, error) {
	var ranges []ruleset.PortRange
	var sets []*ruleset.Set
	err := each(v, func(v value) error {
		if s, ok := unwrap[*setObject](v.LValue); ok {
			sets = append(sets, s.set)
			return s.holds("ports")
		}
		r, err := port(v.LValue, proto)
		if err == nil {
			ranges = append(ranges, r)
		}
		return err
	})
	return mergePorts(ranges), sets, err
}

func port(v lua.LValue, proto string) (ruleset.PortRange, error) {
	switch v := v.(type) {
	case lua.LNumber:
		if n := uint16(v); lua.LNumber(n) == v {
			return ruleset.PortRange{From: n, To: n}, nil
		}
		return ruleset.PortRange{}, fmt.Errorf("%v is no port: ports are whole numbers from 0 to 65535", v)
	case lua.LString:
		return parsePort(string(v), proto)
	}
	return ruleset.PortRange{}, fmt.Errorf("a port is expected, not %s", describe(v))
}

// parsePort parses a port, a range "6000-6100" or the name of a service.
func parsePort(s, proto string) (ruleset.PortRange, error) {
	if from, to, ok := strings.Cut(s, "-"); ok && digits(from) && digits(to) {
		a, errA := portNumber(from)
		b, errB := portNumber(to)
		if err := cmp.Or(errA, errB); err != nil {
			return ruleset.PortRange{}, err
		}
		if b < a {
			return ruleset.PortRange{}, fmt.Errorf("the range %q ends before it starts: write \"%d-%d\"", s, b, a)
		}
		return ruleset.PortRange{From: a, To: b}, nil
	}
	if digits(s) {
		n, err := portNumber(s)
		return ruleset.PortRange{From: n, To: n}, err
	}
	if i := strings.IndexAny(s, ",:"); i > 0 && s[0] >= '0' && s[0] <= '9' {
		return ruleset.PortRange{}, fmt.Errorf("%q is no port: write { 80, 443 } for a list and \"6000-6100\" for a range", s)
	}
	n, err := servicePort(s, proto)
	return ruleset.PortRange{From: n, To: n}, err
}

func portNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%s is no port: ports are whole numbers from 0 to 65535", s)
	}
	return uint16(n), nil
}

// servicePort looks a service up in /etc/services.
func servicePort(name, proto string) (uint16, error) {
	if proto != "udp" {
		proto = "tcp" // sctp and dccp have no list of their own
	}
	if strings.ContainsAny(name, "+- ") && !strings.Contains(strings.Trim(name, "-"), "-") {
		return 0, fmt.Errorf("%q is no port, range (\"6000-6100\") or service name", name)
	}
	n, err := net.LookupPort(proto, name)
	if err != nil || name == "" {
		return 0, fmt.Errorf("%q is no port, range (\"6000-6100\") or service name that this host's /etc/services knows for %s%s", name, proto, ruleset.Suggest(name, services()))
	}
	return uint16(n), nil
}

// mergePorts sorts the ranges and joins those that overlap, which nft refuses in one set.
func mergePorts(ranges []ruleset.PortRange) []ruleset.PortRange {
	slices.SortFunc(ranges, func(a, b ruleset.PortRange) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && r.From <= out[n-1].To {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}
