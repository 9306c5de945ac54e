package engine

import (
	"net/netip"

	"moonlatch/engine/ban"
)

// source is an address with what it has to send from: an IPv6 source its whole /64.
func source(a netip.Addr) netip.Prefix {
	if a.Is6() {
		return netip.PrefixFrom(a, 64)
	}
	return netip.PrefixFrom(a, a.BitLen())
}

// sourceTarget is what is banned for what an address did that stands for all of
// a prefix: that prefix, unless some of it is protected, such as one of this
// host's own addresses, or it is the link's, where every neighbour is. Then it
// is the address alone.
func sourceTarget(bans *ban.Book, source netip.Prefix) netip.Prefix {
	whole := source.Masked()
	if bans.Protects(whole) || whole.Addr().Is6() && whole.Addr().IsLinkLocalUnicast() {
		return host(source.Addr())
	}
	return whole
}
