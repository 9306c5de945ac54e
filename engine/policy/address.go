package policy

import (
	"fmt"
	"net/netip"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"go4.org/netipx"

	"moonlatch/engine/ruleset"
)

// addresses reads addresses, prefixes, ranges and sets of them, single or in
// lists. The set is nil where there is none but in sets.
func addresses(v value) (*netipx.IPSet, []*ruleset.Set, error) {
	var b netipx.IPSetBuilder
	var sets []*ruleset.Set
	plain := 0
	err := each(v, func(v value) error {
		if s, ok := unwrap[*setObject](v.LValue); ok {
			sets = append(sets, s.set)
			return s.holds("addresses")
		}
		r, err := address(v.LValue)
		if err != nil {
			return err
		}
		b.AddRange(r)
		plain++
		return nil
	})
	if err != nil || plain == 0 {
		return nil, sets, err
	}
	set, err := b.IPSet()
	return set, sets, err
}

// addressSet reads the same, with the content of the sets as it is now.
func addressSet(v value) (*netipx.IPSet, error) {
	plain, sets, err := addresses(v)
	if err != nil {
		return nil, err
	}
	var b netipx.IPSetBuilder
	if plain != nil {
		b.AddSet(plain)
	}
	for _, s := range sets {
		if s.Changes() {
			return nil, errDynamic(s)
		}
		s.Addrs.AddTo(&b)
	}
	return b.IPSet()
}

// errDynamic says that a set's content is needed where it cannot be known.
func errDynamic(s *ruleset.Set) error {
	if s.Feed {
		return fmt.Errorf("the feed %q changes by itself, so only the kernel knows what it holds: ask for it in a rule", s.Name)
	}
	return fmt.Errorf("set %q is filled by packets, so only the kernel knows what it holds: ask for it in a rule", s.Name)
}

func address(v lua.LValue) (netipx.IPRange, error) {
	s, ok := v.(lua.LString)
	if !ok {
		return netipx.IPRange{}, fmt.Errorf("an address is expected, not %s", describe(v))
	}
	return parseAddress(string(s))
}

// parseAddress parses an address, a prefix without host bits, or a range "a-b".
func parseAddress(s string) (netipx.IPRange, error) {
	if from, to, ok := strings.Cut(s, "-"); ok {
		return parseRange(s, strings.TrimSpace(from), strings.TrimSpace(to))
	}
	if strings.Contains(s, "/") {
		return parsePrefix(s)
	}
	a, err := parseHost(s)
	return netipx.IPRangeFrom(a, a), err
}

func parseRange(s, first, last string) (netipx.IPRange, error) {
	from, err := parseHost(first)
	if err != nil {
		return netipx.IPRange{}, err
	}
	to, err := parseHost(last)
	switch {
	case err != nil:
		return netipx.IPRange{}, err
	case from.Is4() != to.Is4():
		return netipx.IPRange{}, fmt.Errorf("the range %q starts in one address family and ends in the other", s)
	case to.Less(from):
		return netipx.IPRange{}, fmt.Errorf("the range %q ends before it starts: write \"%s-%s\"", s, to, from)
	}
	return netipx.IPRangeFrom(from, to), nil
}

func parsePrefix(s string) (netipx.IPRange, error) {
	p, err := lenientPrefix(s)
	if err != nil {
		return netipx.IPRange{}, err
	}
	if p != p.Masked() {
		return netipx.IPRange{}, fmt.Errorf("%q has bits set behind its /%d: write %q for the network or %q for the address", s, p.Bits(), p.Masked(), p.Addr())
	}
	return netipx.RangeOfPrefix(p), nil
}

// lenientPrefix parses a prefix that may have host bits set. A prefix of
// IPv4-mapped IPv6 addresses is one of IPv4 addresses.
func lenientPrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, notAddress(s)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, nil
}

func parseHost(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, notAddress(s)
	}
	if a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q names an interface, which is no part of an address: write %q, and iif or oif for the interface", s, a.WithZone(""))
	}
	return a.Unmap(), nil
}

func notAddress(s string) error {
	return fmt.Errorf("%.80q is no address (\"192.0.2.1\"), prefix (\"192.0.2.0/24\") or range (\"192.0.2.1-192.0.2.9\")%s", s, addressHint(s))
}
