// Package packet decodes one logged packet: its NFLOG metadata and its
// bounds-checked network and transport headers, without allocating.
package packet

import (
	"net/netip"
	"time"
)

// Packet is one logged packet. Fields that the captured bytes do not prove keep
// their zero value; the Has flags tell a known zero from an unknown.
//
// A Packet is reused: Decode overwrites the header fields, and Payload aliases
// the bytes given to it. Copy what must outlive the next Decode. Not safe for
// concurrent use.
type Packet struct {
	// Metadata, filled in by whoever received the packet.
	Time   time.Time // the kernel's receive time, or the read time where the kernel gave none
	Hook   uint8     // NF_INET_* hook, linux/netfilter.h
	Iif    uint32    // input interface index, 0 when there is none
	Oif    uint32    // output interface index, 0 when there is none
	Mark   uint32
	UID    uint32 // owner of the local socket, with HasOwner
	GID    uint32
	MAC    [6]byte // source hardware address, with HasMAC
	Length int     // network-layer length in bytes as the header states it

	// Headers, filled in by Decode.
	Src      netip.Addr // invalid when not known; never an IPv4-mapped IPv6 address
	Dst      netip.Addr
	TTL      uint8 // IPv4 TTL or IPv6 hop limit
	Proto    uint8 // upper-layer protocol, IPPROTO_* of netinet/in.h, after any IPv6 extension headers
	Sport    uint16
	Dport    uint16
	Flags    Flags // TCP flags
	ICMPType uint8 // ICMP or ICMPv6, told apart by Proto
	ICMPCode uint8
	Payload  []byte // transport payload as far as it was copied

	HasOwner bool
	HasMAC   bool
	HasProto bool // Proto is certain
	HasPorts bool // Sport and Dport are certain
	HasFlags bool // Flags is certain
	HasICMP  bool // ICMPType and ICMPCode are certain
	Fragment bool // any fragment but a whole packet; a later fragment has no ports
}

// Flags are the flag bits of a TCP header (RFC 9293 §3.1), FIN in bit 0.
type Flags uint8

// The TCP flags.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)
