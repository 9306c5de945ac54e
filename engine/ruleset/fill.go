package ruleset

import (
	"encoding/binary"
	"net/netip"

	"go4.org/netipx"
)

// fillSize is from how many ranges on a set's content goes into the kernel over
// netlink: as nft text, a million addresses cost nft five seconds and several
// hundred megabytes, and in a user namespace the kernel takes no such message.
const fillSize = 4096

// Fill is what belongs into a kernel set whose content is too large for the text.
type Fill struct {
	Family   Family
	Set      string // the kernel's name of it
	Prefixes []netip.Prefix
}

// Fills lists the contents that Render leaves out. Put them in before the
// tables' lease is filled, and the generation is never seen without them.
func (r *Ruleset) Fills() []Fill {
	var out []Fill
	for _, f := range r.Families() {
		for _, s := range r.Sets {
			if s.IsPorts() || !r.declares(f, s) {
				continue
			}
			for _, half := range [...]family{ipv4, ipv6} {
				if ranges := s.ranges(half); len(ranges) >= fillSize {
					out = append(out, Fill{f, s.Name + half.digit(), prefixes(ranges)})
				}
			}
		}
	}
	return out
}

// ranges returns an address set's content of one family.
func (s *Set) ranges(f family) []netipx.IPRange { return halfOf(s.Addrs, f) }

// halfOf returns the ranges of one family, of which IPv4's come first.
func halfOf(set *netipx.IPSet, f family) []netipx.IPRange {
	all := set.Ranges()
	n := 0
	for n < len(all) && all[n].From().Is4() {
		n++
	}
	if f == ipv4 {
		return all[:n]
	}
	return all[n:]
}

// hosts reports whether the kernel can hold the ranges as single addresses, in
// a hash instead of a tree of intervals, which takes a tenth of the time to fill
// and less to search. In a long list of addresses some are neighbours by chance
// and have merged into ranges: they are worth taking apart again.
func hosts(ranges []netipx.IPRange) bool {
	limit := uint64(len(ranges))
	if len(ranges) >= fillSize {
		limit *= 2
	}
	total := uint64(0)
	for _, r := range ranges {
		if total += size(r); total > limit {
			return false
		}
	}
	return true
}

// size is the number of addresses in a range, or a large number.
func size(r netipx.IPRange) uint64 {
	from, to := r.From().As16(), r.To().As16()
	if [8]byte(from[:8]) != [8]byte(to[:8]) {
		return 1 << 32
	}
	return min(binary.BigEndian.Uint64(to[8:])-binary.BigEndian.Uint64(from[8:]), 1<<32) + 1
}

// prefixes lists the ranges as the kernel set holds them.
func prefixes(ranges []netipx.IPRange) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(ranges))
	single := hosts(ranges)
	for _, r := range ranges {
		if !single {
			out = r.AppendPrefixes(out)
			continue
		}
		for a := r.From(); a.IsValid() && a.Compare(r.To()) <= 0; a = a.Next() {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return out
}
