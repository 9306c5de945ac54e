package ban

import (
	"fmt"
	"net/netip"
	"time"
)

// DefaultTarget returns what to ban because of one address: an IPv6 source has
// its whole /64 to choose addresses from, except on the link itself.
func DefaultTarget(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() && !addr.IsLinkLocalUnicast() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // an invalid address
	}
	return p
}

// Addresses that are never a packet's honest source, or that this host cannot live without.
var (
	loopback4  = netip.MustParsePrefix("127.0.0.0/8")
	broadcast4 = netip.MustParsePrefix("255.255.255.255/32")
	multicast4 = netip.MustParsePrefix("224.0.0.0/4")
	multicast6 = netip.MustParsePrefix("ff00::/8")
	linkLocal6 = netip.MustParsePrefix("fe80::/10")
)

// CheckTarget returns ErrBadTarget, with the reason, for what cannot be banned at all.
func CheckTarget(p netip.Prefix) error {
	_, err := normalTarget(p)
	return err
}

// normalTarget returns p in canonical form, or ErrBadTarget.
func normalTarget(p netip.Prefix) (netip.Prefix, error) {
	refuse := func(format string, args ...any) (netip.Prefix, error) {
		return netip.Prefix{}, fmt.Errorf("%s %w: %s", p, ErrBadTarget, fmt.Sprintf(format, args...))
	}
	if !p.IsValid() {
		return refuse("want an address or a prefix such as 192.0.2.0/24")
	}
	n, ok := unmap(p)
	switch {
	case !ok:
		return refuse("it mixes IPv4-mapped with IPv6 addresses")
	case n != n.Masked():
		return refuse("it has bits set after its prefix length; write %s, or %s for the address alone", n.Masked(), n.Addr())
	case n.Bits() == 0:
		return refuse("it is everybody")
	case n.Overlaps(loopback4), n.Contains(netip.IPv6Loopback()):
		return refuse("it holds loopback addresses, which this host talks to itself with")
	case n.Contains(netip.IPv4Unspecified()), n.Contains(netip.IPv6Unspecified()):
		return refuse("it holds the unspecified address")
	case within(n, multicast4), within(n, multicast6), n == broadcast4:
		return refuse("multicast and broadcast addresses are not sources")
	case n.Overlaps(linkLocal6) && !n.IsSingleIP():
		return refuse("it holds link-local addresses of routers and neighbours; ban the address alone")
	}
	return n, nil
}

// unmap returns p as an IPv4 prefix if it is an IPv4-mapped one. It reports false if p is both.
func unmap(p netip.Prefix) (netip.Prefix, bool) {
	if !p.Addr().Is4In6() {
		return p, true
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96), p.Bits() >= 96
}

func within(p, outer netip.Prefix) bool {
	return outer.Contains(p.Addr()) && p.Bits() >= outer.Bits()
}

// checkTimes returns ErrBadTime unless every time can be a kernel timeout.
func checkTimes(times []time.Duration) error {
	if len(times) == 0 {
		return fmt.Errorf("%w: none is given", ErrBadTime)
	}
	for _, d := range times {
		if d <= 0 || d > MaxTime {
			return fmt.Errorf("%w: %s must be more than 0s and at most %s (ten years)", ErrBadTime, d, MaxTime)
		}
	}
	return nil
}

// target is a canonical prefix as a key without pointers, IPv4 in its IPv6-mapped form.
type target struct {
	addr [16]byte
	bits uint8
}

// mapped is how many bits come before an IPv4 address in its mapped form.
const mapped = 96

func targetOf(p netip.Prefix) target {
	t := target{addr: p.Addr().As16(), bits: uint8(p.Bits())}
	if p.Addr().Is4() {
		t.bits += mapped
	}
	return t
}

// shorten returns the prefix of the first bits of t.
func (t target) shorten(bits uint8) target {
	whole := int(bits / 8)
	if whole < len(t.addr) {
		t.addr[whole] &= ^(0xff >> (bits % 8))
		clear(t.addr[whole+1:])
	}
	t.bits = bits
	return t
}

func (t target) prefix() netip.Prefix {
	addr := netip.AddrFrom16(t.addr)
	if addr.Is4In6() {
		return netip.PrefixFrom(addr.Unmap(), int(t.bits)-mapped)
	}
	return netip.PrefixFrom(addr, int(t.bits))
}

func (t target) family() Family {
	if netip.AddrFrom16(t.addr).Is4In6() {
		return IPv4
	}
	return IPv6
}

// set returns the set that holds bans of targets like t.
func (t target) set() set {
	switch f := t.family(); {
	case t.bits == 128 && f == IPv4:
		return banned4
	case f == IPv4:
		return banned4net
	case t.bits == 128:
		return banned6
	case t.bits == 64:
		return banned6s64
	}
	return banned6net
}

// element returns the prefix that stands for t in a hash set: the /64 sets hold the first address.
func (t target) element() netip.Prefix {
	p := t.prefix()
	return netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
}

// overlaps reports whether one of the two holds the other.
func (t target) overlaps(u target) bool {
	bits := min(t.bits, u.bits)
	return t.shorten(bits) == u.shorten(bits)
}
