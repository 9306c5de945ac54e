package lab

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"moonlatch/engine/packet"
)

// Packet is what a lab sends. What is zero gets its default.
type Packet struct {
	Src, Dst     netip.Addr // default: an address of nobody's, and the host's own
	Proto        uint8      // IPPROTO_*
	Sport, Dport uint16     // default 40000, and 0
	Flags        packet.Flags
	ICMPType     uint8
	ICMPCode     uint8
	TTL          uint8 // default 64
	DSCP         uint8
	Payload      []byte
	MAC          net.HardwareAddr // of the sender
	Iif          string           // default Inside; "lo" for what the host sends to itself
	Oif          string           // where it leaves if it is not for the host; default Outside
	Output       bool             // the host itself sends it, by Oif
}

// The senders of packets that do not say whose they are: of the ranges for
// documentation (RFC 5737, RFC 3849).
const (
	Sender4 = "203.0.113.9"
	Sender6 = "2001:db8:9::9"
)

// withDefaults completes a packet.
func (p Packet) withDefaults() (Packet, error) {
	v6 := p.Src.Is6() || p.Dst.Is6()
	if p.Iif == "lo" {
		p.Output, p.Oif = true, "lo"
	}
	us, them := Host4, Sender4
	if v6 {
		us, them = Host6, Sender6
	}
	if p.Oif == "lo" {
		if us, them = "127.0.0.1", "127.0.0.1"; v6 {
			us, them = "::1", "::1"
		}
	}
	if p.Output {
		us, them = them, us
	}
	if !p.Src.IsValid() {
		p.Src = netip.MustParseAddr(them)
	}
	if !p.Dst.IsValid() {
		p.Dst = netip.MustParseAddr(us)
	}
	if p.Src.Is6() != p.Dst.Is6() {
		return p, fmt.Errorf("the packet's source %s and destination %s are of different address families", p.Src, p.Dst)
	}
	if p.Sport == 0 {
		p.Sport = 40000
	}
	if p.TTL == 0 {
		p.TTL = 64
	}
	if p.MAC == nil {
		p.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	}
	if p.Iif == "" {
		p.Iif = Inside
	}
	if p.Oif == "" {
		p.Oif = Outside
		if p.Iif == Outside || p.Output {
			p.Oif = Inside
		}
	}
	return p, nil
}

// Following is a packet of the same direction in the connection that p began.
func (p Packet) Following() Packet {
	if p.Proto == unix.IPPROTO_TCP {
		p.Flags = packet.ACK
	}
	return p
}

// ends shows from where to where the packet goes.
func (p Packet) ends() string {
	ports := p.Proto == unix.IPPROTO_TCP || p.Proto == unix.IPPROTO_UDP || p.Proto == unix.IPPROTO_SCTP
	end := func(a netip.Addr, port uint16) string {
		if ports {
			return netip.AddrPortFrom(a, port).String()
		}
		return a.String()
	}
	return end(p.Src, p.Sport) + " -> " + end(p.Dst, p.Dport)
}

// String shows the packet on one line: "tcp 203.0.113.9:40000 -> 198.18.0.1:22 syn, in by eth0".
func (p Packet) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", packet.ProtoName(p.Proto), p.ends())
	switch p.Proto {
	case unix.IPPROTO_TCP:
		b.WriteString(" " + p.Flags.String())
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		name := packet.ICMPTypeName(p.Proto == unix.IPPROTO_ICMPV6, p.ICMPType)
		if name == "" {
			name = fmt.Sprint("type ", p.ICMPType)
		}
		b.WriteString(" " + name)
	}
	if p.Output {
		b.WriteString(", sent by the host by " + p.Oif)
	} else {
		b.WriteString(", in by " + p.Iif)
	}
	return b.String()
}

// reply is the answer to a packet, as the other end got it.
func reply(p Packet, got packet.Packet) Packet {
	r := p
	r.Src, r.Dst, r.Sport, r.Dport = got.Dst, got.Src, got.Dport, got.Sport
	switch {
	case p.Proto == unix.IPPROTO_TCP:
		r.Flags = packet.SYN | packet.ACK
	case p.Proto == unix.IPPROTO_ICMP && p.ICMPType == layers.ICMPv4TypeEchoRequest:
		r.ICMPType = layers.ICMPv4TypeEchoReply
	case p.Proto == unix.IPPROTO_ICMPV6 && p.ICMPType == layers.ICMPv6TypeEchoRequest:
		r.ICMPType = layers.ICMPv6TypeEchoReply
	}
	r.Payload = nil
	return r
}

// bytes is the packet from its network header on.
func (p Packet) bytes() ([]byte, error) {
	var ip gopacket.NetworkLayer
	var network gopacket.SerializableLayer
	if p.Src.Is4() {
		h := &layers.IPv4{Version: 4, IHL: 5, TTL: p.TTL, TOS: p.DSCP << 2, Id: 1, Protocol: layers.IPProtocol(p.Proto), SrcIP: p.Src.AsSlice(), DstIP: p.Dst.AsSlice()}
		ip, network = h, h
	} else {
		h := &layers.IPv6{Version: 6, HopLimit: p.TTL, TrafficClass: p.DSCP << 2, NextHeader: layers.IPProtocol(p.Proto), SrcIP: p.Src.AsSlice(), DstIP: p.Dst.AsSlice()}
		ip, network = h, h
	}
	parts := append([]gopacket.SerializableLayer{network}, p.transport(ip)...)
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append(parts, gopacket.Payload(p.Payload))...)
	if err != nil {
		return nil, fmt.Errorf("build the packet: %w", err)
	}
	return buf.Bytes(), nil
}

// transport is what follows the network header.
func (p Packet) transport(ip gopacket.NetworkLayer) []gopacket.SerializableLayer {
	has := func(f packet.Flags) bool { return p.Flags&f != 0 }
	switch p.Proto {
	case unix.IPPROTO_TCP:
		t := &layers.TCP{
			SrcPort: layers.TCPPort(p.Sport), DstPort: layers.TCPPort(p.Dport), Seq: 1000, Window: 64240,
			FIN: has(packet.FIN), SYN: has(packet.SYN), RST: has(packet.RST), PSH: has(packet.PSH),
			ACK: has(packet.ACK), URG: has(packet.URG), ECE: has(packet.ECE), CWR: has(packet.CWR),
		}
		if t.ACK {
			t.Ack = 1001
		}
		if !t.SYN {
			t.Seq = 1001
		}
		t.SetNetworkLayerForChecksum(ip)
		return []gopacket.SerializableLayer{t}
	case unix.IPPROTO_UDP:
		u := &layers.UDP{SrcPort: layers.UDPPort(p.Sport), DstPort: layers.UDPPort(p.Dport)}
		u.SetNetworkLayerForChecksum(ip)
		return []gopacket.SerializableLayer{u}
	case unix.IPPROTO_SCTP:
		chunk := &layers.SCTPInit{SCTPChunk: layers.SCTPChunk{Type: layers.SCTPChunkTypeInit}, InitiateTag: 1, AdvertisedReceiverWindowCredit: 65536, OutboundStreams: 1, InboundStreams: 1}
		return []gopacket.SerializableLayer{&layers.SCTP{SrcPort: layers.SCTPPort(p.Sport), DstPort: layers.SCTPPort(p.Dport)}, chunk}
	case unix.IPPROTO_ICMP:
		return []gopacket.SerializableLayer{&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(p.ICMPType, p.ICMPCode), Id: 1, Seq: 1}}
	case unix.IPPROTO_ICMPV6:
		m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(p.ICMPType, p.ICMPCode)}
		m.SetNetworkLayerForChecksum(ip)
		return []gopacket.SerializableLayer{m, gopacket.Payload(icmp6Body(p.ICMPType))}
	}
	return nil
}

// icmp6Body is the rest of an ICMPv6 header: an identifier and a number for an
// echo, otherwise what conntrack and the stack need to see in a neighbour message.
func icmp6Body(icmpType uint8) []byte {
	if icmpType >= layers.ICMPv6TypeRouterSolicitation && icmpType <= layers.ICMPv6TypeRedirect {
		return make([]byte, 20)
	}
	return []byte{0, 1, 0, 1}
}
