package replay

import (
	"cmp"
	"io"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"moonlatch/engine/capture"
	"moonlatch/engine/packet"
)

// sample is how many packets FindHosts looks at, and maxSeen how many addresses it remembers.
const (
	sample  = 20_000
	maxSeen = 1 << 16
)

// maxHosts bounds the addresses that a capture's host gets.
const maxHosts = 256

// seen is what a sample tells of an address.
type seen struct {
	packets             int  // from or to it
	opened              int  // connections that others asked it for
	received            int  // packets to it
	cameFrom, wentTo    bool // with a known direction: by the host from outside, from the host to outside
	arrivedAt, sentFrom bool
}

// FindHosts finds out which addresses are the capturing host's own: by the directions
// that a capture tells, or else those of own (this machine's) that take part, or else, of each family, the one
// that takes part in the most packets.
func FindHosts(r io.Reader, own []netip.Addr) (Hosts, error) {
	in, err := capture.NewReader(r)
	if err != nil {
		return Hosts{}, err
	}
	all := map[netip.Addr]*seen{}
	directed := false
	var p capture.Packet
	for range sample {
		if in.Next(&p) != nil {
			break // what is wrong with it is said when it is played
		}
		directed = note(all, &p) || directed
	}
	if directed {
		if hosts := byDirection(all); len(hosts) > 0 {
			return Hosts{hosts, "the directions in the capture"}, nil
		}
	}
	var here []netip.Addr
	for _, a := range own {
		if all[a] != nil && !a.IsLoopback() {
			here = append(here, a)
		}
	}
	if len(here) > 0 {
		return Hosts{here, "this machine's addresses"}, nil
	}
	return Hosts{busiest(all), "most packets are from or to it"}, nil
}

// note adds a packet to what is known of its addresses. It reports whether the packet tells its direction.
func note(all map[netip.Addr]*seen, p *capture.Packet) (directed bool) {
	var h packet.Packet
	if p.Protocol != 0 && p.Protocol != unix.ETH_P_IP && p.Protocol != unix.ETH_P_IPV6 {
		return false
	}
	if h.Decode(p.Protocol, p.Data); !h.Src.IsValid() || !h.Dst.IsValid() || h.Src.IsLoopback() {
		return false
	}
	src, dst := find(all, h.Src), find(all, h.Dst)
	src.packets++
	dst.packets++
	dst.received++
	if h.HasFlags && h.Flags&(packet.SYN|packet.ACK) == packet.SYN {
		dst.opened++
	}
	switch p.Direction {
	case capture.In:
		src.cameFrom, dst.arrivedAt = true, true
	case capture.Out:
		src.sentFrom, dst.wentTo = true, true
	default:
		return false
	}
	return true
}

// find returns what is known of an address; what is too much is forgotten.
func find(all map[netip.Addr]*seen, a netip.Addr) *seen {
	s := all[a]
	if s == nil {
		s = &seen{}
		if possible(a) && len(all) < maxSeen {
			all[a] = s
		}
	}
	return s
}

// possible reports whether an address can be a host's own.
func possible(a netip.Addr) bool {
	return !a.IsMulticast() && !a.IsUnspecified() && !a.IsLoopback() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// byDirection are the addresses that packets came in to or left from, and neither came in from nor left to:
// those would be of packets that are forwarded.
func byDirection(all map[netip.Addr]*seen) []netip.Addr {
	var out []netip.Addr
	for _, a := range slices.SortedFunc(maps.Keys(all), netip.Addr.Compare) {
		s := all[a]
		if (s.arrivedAt || s.sentFrom) && !s.cameFrom && !s.wentTo && len(out) < maxHosts {
			out = append(out, a)
		}
	}
	return out
}

// busiest is the address of each family that takes part in the most packets. Where only two talk, it is the
// one that is asked for connections.
func busiest(all map[netip.Addr]*seen) []netip.Addr {
	var out []netip.Addr
	for _, v6 := range []bool{false, true} {
		var best netip.Addr
		for a, s := range all {
			if a.Is6() != v6 || a.IsLinkLocalUnicast() {
				continue
			}
			b := all[best]
			if b == nil || cmp.Or(cmp.Compare(s.packets, b.packets), cmp.Compare(s.opened, b.opened), cmp.Compare(s.received, b.received), best.Compare(a)) > 0 {
				best = a
			}
		}
		if best.IsValid() {
			out = append(out, best)
		}
	}
	return out
}
