package packet

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Why Decode stopped where it did. It returns them bare, so that a hostile
// packet costs no allocation.
var (
	// ErrTruncated: the bytes end before a header does, because the packet was
	// copied in part or because it states a length too short for its headers.
	ErrTruncated = errors.New("packet: bytes end inside a header")
	// ErrNotIP: the ethertype is neither IPv4 nor IPv6, for instance ARP.
	ErrNotIP = errors.New("packet: not an IP packet")
	// ErrVersion: the version nibble is neither 4 nor 6, or contradicts the ethertype.
	ErrVersion = errors.New("packet: IP version unknown or not that of the ethertype")
	// ErrHeader: a header states a length that is smaller than itself.
	ErrHeader = errors.New("packet: a header's stated length is impossible")
	// ErrMapped: an IPv6 header with an IPv4-mapped address, which has no place on
	// the wire. Whoever took it for the IPv4 address would blame a host for it that
	// had no part in it.
	ErrMapped = errors.New("packet: IPv4-mapped address in an IPv6 header")
	// ErrExtensions: more IPv6 extension headers than any honest sender uses.
	ErrExtensions = errors.New("packet: too many IPv6 extension headers")
)

// maxTags bounds the VLAN tags that Decode looks behind: QinQ has two.
const maxTags = 2

// Decode fills the header fields of p from b, the packet from its network
// header on, as NFLOG copies it. hwProtocol is its ethertype in host byte order
// (ETH_P_* of linux/if_ether.h); 0 means unknown, then the version nibble
// decides. VLAN tags in front of the IP header are skipped. The metadata fields
// are left alone.
//
// b may be cut off anywhere and may hold anything. An error says why no more
// than the fields now set could be told; those that are set stay right.
func (p *Packet) Decode(hwProtocol uint16, b []byte) error {
	p.resetHeaders()
	for range maxTags {
		if hwProtocol != unix.ETH_P_8021Q && hwProtocol != unix.ETH_P_8021AD {
			break
		}
		// The tag that the ethertype announced: 2 bytes of TCI, then the next ethertype.
		if len(b) < 4 {
			return ErrTruncated
		}
		hwProtocol, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		if hwProtocol == 0 {
			return ErrNotIP // the length of an 802.2 frame, and not a caller's "unknown"
		}
	}
	if hwProtocol != 0 && hwProtocol != unix.ETH_P_IP && hwProtocol != unix.ETH_P_IPV6 {
		return ErrNotIP
	}
	if len(b) == 0 {
		return ErrTruncated
	}
	switch version := b[0] >> 4; {
	case version == 4 && hwProtocol != unix.ETH_P_IPV6:
		return p.decodeIPv4(b)
	case version == 6 && hwProtocol != unix.ETH_P_IP:
		return p.decodeIPv6(b)
	}
	return ErrVersion
}

// resetHeaders clears what Decode fills. It names the fields because p also
// holds metadata that belongs to the caller.
func (p *Packet) resetHeaders() {
	p.Length = 0
	p.Src, p.Dst = netip.Addr{}, netip.Addr{}
	p.TTL, p.Proto, p.Flags = 0, 0, 0
	p.Sport, p.Dport = 0, 0
	p.ICMPType, p.ICMPCode = 0, 0
	p.Payload = nil
	p.HasProto, p.HasPorts, p.HasFlags, p.HasICMP, p.Fragment = false, false, false, false, false
}

// decodeIPv4 decodes an IPv4 header (RFC 791 §3.1) and what follows it.
func (p *Packet) decodeIPv4(b []byte) error {
	const fixed = 20
	if len(b) < fixed {
		return ErrTruncated
	}
	header := int(b[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	// A total length of 0 is Linux's own: a TCP segment above 64 KiB that it
	// has not cut into packets yet (BIG TCP, net/ip.h, iph_totlen).
	if header < fixed || total != 0 && total < header {
		return ErrHeader
	}
	p.Length = total
	p.TTL = b[8]
	p.Proto, p.HasProto = b[9], true
	p.Src = netip.AddrFrom4([4]byte(b[12:16]))
	p.Dst = netip.AddrFrom4([4]byte(b[16:20]))

	const moreFragments, offsetMask = 0x2000, 0x1fff
	fragment := binary.BigEndian.Uint16(b[6:])
	p.Fragment = fragment&(moreFragments|offsetMask) != 0

	if len(b) < header {
		return ErrTruncated
	}
	if fragment&offsetMask != 0 {
		return nil // the transport header is in the first fragment
	}
	if total != 0 && total < len(b) {
		b = b[:total] // the rest is padding of the link layer
	}
	return p.decodeTransport(b[header:])
}
