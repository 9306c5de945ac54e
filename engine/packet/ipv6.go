package packet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// maxExtensions bounds the walk over extension headers. RFC 8200 §4.1 has seven
// in a packet at most; the rest is room for the unusual.
const maxExtensions = 12

// decodeIPv6 decodes an IPv6 header (RFC 8200 §3) and what follows it.
func (p *Packet) decodeIPv6(b []byte) error {
	const fixed = 40
	if len(b) < fixed {
		return ErrTruncated
	}
	src, dst := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	if src.Is4In6() || dst.Is4In6() {
		return ErrMapped
	}
	next := b[6]
	p.Length = fixed + int(binary.BigEndian.Uint16(b[4:]))
	p.TTL = b[7]
	p.Src, p.Dst = src, dst

	// A jumbogram (RFC 2675) states no length here, but in a hop-by-hop option.
	jumbo := p.Length == fixed && next == unix.IPPROTO_HOPOPTS
	if !jumbo && p.Length < len(b) {
		b = b[:p.Length] // the rest is padding of the link layer
	}
	return p.decodeExtensions(next, b[fixed:])
}

// decodeExtensions walks the extension headers in b, of which next is the first,
// and then decodes the upper-layer header. It takes for extension headers what
// the kernel's ipv6_find_hdr does, so that Proto is what nftables calls l4proto.
func (p *Packet) decodeExtensions(next uint8, b []byte) error {
	for range maxExtensions + 1 {
		p.Proto, p.HasProto = upperLayer(next)
		if p.HasProto {
			return p.decodeTransport(b)
		}
		size := extensionSize(next, b)
		if len(b) < size {
			if len(b) > 0 {
				p.Proto, p.HasProto = upperLayer(b[0])
			}
			return ErrTruncated
		}
		if next == unix.IPPROTO_FRAGMENT {
			const moreFragments, offsetMask = 0x0001, 0xfff8 // RFC 8200 §4.5
			fragment := binary.BigEndian.Uint16(b[2:])
			p.Fragment = p.Fragment || fragment&(moreFragments|offsetMask) != 0
			if fragment&offsetMask != 0 {
				p.Proto, p.HasProto = upperLayer(b[0])
				return nil // the transport header is in the first fragment
			}
		}
		next, b = b[0], b[size:]
	}
	return ErrExtensions
}

// upperLayer returns next as a protocol, and whether it is one rather than an
// extension header.
func upperLayer(next uint8) (proto uint8, ok bool) {
	switch next {
	case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_FRAGMENT,
		unix.IPPROTO_DSTOPTS, unix.IPPROTO_AH:
		return 0, false
	}
	return next, true
}

// extensionSize returns the size in bytes of the extension header at the start
// of b, the smallest there is when b is too short to tell.
func extensionSize(kind uint8, b []byte) int {
	const smallest = 8
	if len(b) < 2 || kind == unix.IPPROTO_FRAGMENT {
		return smallest
	}
	if kind == unix.IPPROTO_AH {
		return (int(b[1]) + 2) * 4 // RFC 4302 §2.2
	}
	return (int(b[1]) + 1) * 8
}
