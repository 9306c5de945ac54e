package packet

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// FuzzDecode feeds Decode anything and, where gopacket can decode the same
// bytes, holds every field that both know against gopacket's.
func FuzzDecode(f *testing.F) {
	for _, k := range kernelFrames() {
		f.Add(k.hw, k.payload)
	}
	for _, b := range fuzzSeeds() {
		f.Add(uint16(0), b)
		f.Add(uint16(0x0800), b)
		f.Add(uint16(0x86dd), b)
		for _, hw := range []uint16{0x0800, 0x86dd} {
			f.Add(uint16(0x8100), cat([]byte{0, 5}, be16(hw), b))
			f.Add(uint16(0x88a8), cat([]byte{0, 5}, be16(0x8100), []byte{0, 6}, be16(hw), b))
		}
	}
	f.Fuzz(func(t *testing.T, hwProtocol uint16, b []byte) {
		before := bytes.Clone(b)
		p := stale()
		err := p.Decode(hwProtocol, b)
		if !bytes.Equal(before, b) {
			t.Fatal("Decode wrote to its input")
		}
		checkConsistent(t, p, b, err)
		if len(b) > 0 {
			crossCheck(t, p, hwProtocol, b, err)
		}
	})
}

func fuzzSeeds() [][]byte {
	data := []byte("data")
	return [][]byte{
		nil,
		ipv4(6, 0, nil, tcp(SYN, make([]byte, 20), data)),
		ipv4(17, 0, make([]byte, 4), udp(data)),
		ipv4(17, 0x2000, nil, udp(data)),
		ipv4(17, 0x2001, nil, udp(data)),
		ipv4(136, 0, nil, udp(data)),
		ipv4(132, 0, nil, make([]byte, 12)),
		ipv4(33, 0, nil, cat(be16(1), be16(2), []byte{4}, make([]byte, 11))),
		ipv4(51, 0, nil, authentication(6)),
		ipv4(4, 0, nil, ipv4(17, 0, nil, udp(data))),
		ipv4(41, 0, nil, ipv6(17, udp(data))),
		ipv4(1, 0, nil, icmp(3, 3, ipv4(17, 0, nil, udp(data)))),
		ipv4(1, 0x2000, nil, icmp(11, 0, ipv4(6, 0, make([]byte, 40), tcp(SYN, nil, nil))[:68])),
		ipv6(58, icmp(1, 4, ipv6(17, udp(data)))),
		ipv6(58, icmp(2, 0, ipv6(44, fragment(6, 0, true), tcp(SYN, nil, nil)))),
		ipv6(44, fragment(58, 0, true), icmp(128, 0, data)),
		ipv6(6, tcp(RST|ACK, nil, data)),
		ipv6(58, icmp(128, 0, data)),
		ipv6(0, extension(60, 1), extension(43, 3), fragment(51, 0, true), authentication(60), extension(17, 1), udp(data)),
		ipv6(44, fragment(17, 3, false), udp(data)),
		ipv6(0, repeat(extension(0, 1), 20)),
		ipv6(0, []byte{6, 0, 0xc2, 4, 0, 1, 0, 0}, tcp(ACK, nil, data)),
		ipv6Between("::ffff:192.0.2.1", "::ffff:198.51.100.2", 17, udp(data)),
		cat([]byte{0, 5}, be16(0x86dd), ipv6(17, udp(data))),
	}
}

// checkConsistent checks what holds for every result of Decode.
func checkConsistent(t *testing.T, p Packet, b []byte, err error) {
	t.Helper()
	known := false
	for _, e := range []error{nil, ErrTruncated, ErrNotIP, ErrVersion, ErrHeader, ErrMapped, ErrExtensions} {
		known = known || err == e
	}
	if !known {
		t.Errorf("Decode error %v is none of the documented ones", err)
	}
	if p.Src.Is4In6() || p.Dst.Is4In6() {
		t.Errorf("IPv4-mapped address: %v %v", p.Src, p.Dst)
	}
	if p.HasProto && !p.Src.IsValid() || (p.HasPorts || p.HasICMP) && !p.HasProto || p.HasFlags && !p.HasPorts {
		t.Errorf("a layer without the one below: %+v", p)
	}
	if !p.HasPorts && (p.Sport != 0 || p.Dport != 0) || !p.HasFlags && p.Flags != 0 || !p.HasICMP && (p.ICMPType != 0 || p.ICMPCode != 0) || !p.HasProto && p.Proto != 0 {
		t.Errorf("a value without its Has flag: %+v", p)
	}
	if err != nil && p.Payload != nil {
		t.Errorf("payload in spite of %v", err)
	}
	if !bytes.Contains(b, p.Payload) || string(p.Payload) == "stale" && !bytes.Contains(b, []byte("stale")) {
		t.Errorf("payload %q is not part of the input", p.Payload)
	}
	if p.Time.IsZero() || p.Mark != 4 || !p.HasMAC {
		t.Errorf("metadata changed: %+v", p)
	}
}

// crossCheck compares p with what gopacket makes of b.
func crossCheck(t *testing.T, p Packet, hwProtocol uint16, b []byte, err error) {
	t.Helper()
	var first gopacket.LayerType
	version := b[0] >> 4
	switch {
	case hwProtocol == 0x8100 || hwProtocol == 0x88a8:
		first = layers.LayerTypeDot1Q
	case version == 4 && (hwProtocol == 0 || hwProtocol == 0x0800):
		first = layers.LayerTypeIPv4
	case version == 6 && (hwProtocol == 0 || hwProtocol == 0x86dd):
		first = layers.LayerTypeIPv6
	case hwProtocol == 0 || hwProtocol == 0x0800 || hwProtocol == 0x86dd:
		if !errors.Is(err, ErrVersion) {
			t.Errorf("version %d: error %v", version, err)
		}
		return
	default:
		if !errors.Is(err, ErrNotIP) {
			t.Errorf("ethertype %#x: error %v", hwProtocol, err)
		}
		return
	}
	all := gopacket.NewPacket(b, first, gopacket.DecodeOptions{NoCopy: true}).Layers()
	for tags := 1; len(all) > 0; tags++ {
		tag, ok := all[0].(*layers.Dot1Q)
		if !ok {
			break
		}
		if len(tag.LayerContents()) == 0 {
			return // gopacket rejected the tag
		}
		all = all[1:]
		tagged := tag.Type == layers.EthernetTypeDot1Q || tag.Type == layers.EthernetTypeQinQ
		if tag.Type != layers.EthernetTypeIPv4 && tag.Type != layers.EthernetTypeIPv6 && !(tagged && tags < maxTags) {
			if !errors.Is(err, ErrNotIP) {
				t.Errorf("tag %d says %v: error %v", tags, tag.Type, err)
			}
			return
		}
	}
	compareLayers(t, p, all, err)
}

// compareLayers compares p with a packet's layers, from what should be its IP header on.
func compareLayers(t *testing.T, p Packet, all []gopacket.Layer, err error) {
	t.Helper()
	for i, layer := range all {
		if i > 0 && (layer.LayerType() == layers.LayerTypeIPv4 || layer.LayerType() == layers.LayerTypeIPv6) {
			return // a tunnel: Packet is about the outer header
		}
		switch l := layer.(type) {
		case *layers.IPv4:
			if l.Version != 4 {
				return // a tag lied
			}
			compareIPv4(t, p, l)
		case *layers.IPv6:
			if l.Version != 6 {
				return
			}
			if mapped := l.SrcIP.To4() != nil || l.DstIP.To4() != nil; mapped {
				if !errors.Is(err, ErrMapped) {
					t.Errorf("mapped addresses %v %v: error %v", l.SrcIP, l.DstIP, err)
				}
				return
			}
			compareIPv6(t, p, l)
		case *layers.IPv6HopByHop, *layers.IPv6Routing, *layers.IPv6Destination:
		case *layers.IPv6Fragment:
			if fragmented := l.FragmentOffset != 0 || l.MoreFragments; fragmented && !p.Fragment && !errors.Is(err, ErrExtensions) {
				t.Errorf("gopacket found a fragment header that we did not")
			}
			return // it decodes no fragment any further, not even a whole packet in one
		case *layers.IPSecAH:
			if all[0].LayerType() == layers.LayerTypeIPv4 {
				return // ours ends here, as the kernel's does
			}
		default:
			if i > 0 && !errors.Is(err, ErrExtensions) {
				compareTransport(t, p, layer)
			}
			return
		}
	}
}

func compareIPv4(t *testing.T, p Packet, l *layers.IPv4) {
	t.Helper()
	if l.SrcIP == nil {
		return // gopacket rejected the header
	}
	compareAddresses(t, p, l.SrcIP, l.DstIP)
	if p.TTL != l.TTL || p.Proto != uint8(l.Protocol) || p.Length != 0 && p.Length != int(l.Length) {
		t.Errorf("ttl %d proto %d length %d, gopacket %d %d %d", p.TTL, p.Proto, p.Length, l.TTL, l.Protocol, l.Length)
	}
	if fragmented := l.FragOffset != 0 || l.Flags&layers.IPv4MoreFragments != 0; fragmented != p.Fragment {
		t.Errorf("fragment %v, gopacket %v", p.Fragment, fragmented)
	}
}

func compareIPv6(t *testing.T, p Packet, l *layers.IPv6) {
	t.Helper()
	if l.SrcIP == nil {
		return // gopacket rejected the header
	}
	compareAddresses(t, p, l.SrcIP, l.DstIP)
	if p.TTL != l.HopLimit || p.Length != 40+int(l.Length) {
		t.Errorf("ttl %d length %d, gopacket %d %d", p.TTL, p.Length, l.HopLimit, 40+int(l.Length))
	}
}

func compareAddresses(t *testing.T, p Packet, src, dst net.IP) {
	t.Helper()
	s, _ := netip.AddrFromSlice(src)
	d, _ := netip.AddrFromSlice(dst)
	if p.Src != s || p.Dst != d {
		t.Errorf("addresses %v %v, gopacket %v %v", p.Src, p.Dst, s, d)
	}
}

// compareTransport compares the transport layer, when gopacket decoded it whole:
// it hands out layers that it rejected too, those without contents.
func compareTransport(t *testing.T, p Packet, layer gopacket.Layer) {
	t.Helper()
	if len(layer.LayerContents()) == 0 {
		return
	}
	switch l := layer.(type) {
	case *layers.TCP:
		comparePorts(t, p, uint16(l.SrcPort), uint16(l.DstPort))
		if !p.HasFlags || p.Flags != tcpFlags(l) {
			t.Errorf("flags %v (%v), gopacket %v", p.Flags, p.HasFlags, tcpFlags(l))
		}
		comparePayload(t, p, l.Payload)
	case *layers.UDP:
		comparePorts(t, p, uint16(l.SrcPort), uint16(l.DstPort))
		if l.Length >= 8 { // below, gopacket finds no payload
			comparePayload(t, p, l.Payload)
		}
	case *layers.UDPLite:
		comparePorts(t, p, uint16(l.SrcPort), uint16(l.DstPort))
		comparePayload(t, p, l.Payload)
	case *layers.SCTP:
		comparePorts(t, p, uint16(l.SrcPort), uint16(l.DstPort))
		comparePayload(t, p, l.Payload)
	case *layers.ICMPv4:
		compareICMP(t, p, uint8(l.TypeCode.Type()), l.TypeCode.Code())
		comparePayload(t, p, l.Payload)
	case *layers.ICMPv6:
		compareICMP(t, p, uint8(l.TypeCode.Type()), l.TypeCode.Code())
	}
}

func comparePorts(t *testing.T, p Packet, src, dst uint16) {
	t.Helper()
	if !p.HasPorts || p.Sport != src || p.Dport != dst {
		t.Errorf("ports %d %d (%v), gopacket %d %d", p.Sport, p.Dport, p.HasPorts, src, dst)
	}
}

func compareICMP(t *testing.T, p Packet, icmpType, code uint8) {
	t.Helper()
	if !p.HasICMP || p.ICMPType != icmpType || p.ICMPCode != code {
		t.Errorf("icmp %d %d (%v), gopacket %d %d", p.ICMPType, p.ICMPCode, p.HasICMP, icmpType, code)
	}
}

func comparePayload(t *testing.T, p Packet, want []byte) {
	t.Helper()
	if p.Length == 40 {
		return // a jumbogram: gopacket reads its length from the option
	}
	if !bytes.Equal(p.Payload, want) {
		t.Errorf("payload %q, gopacket %q", p.Payload, want)
	}
}

func tcpFlags(l *layers.TCP) (flags Flags) {
	for bit, is := range []bool{l.FIN, l.SYN, l.RST, l.PSH, l.ACK, l.URG, l.ECE, l.CWR} {
		if is {
			flags |= 1 << bit
		}
	}
	return flags
}
