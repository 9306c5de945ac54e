package packet

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Packets are built byte by byte here, so that the tests do not share their idea
// of the formats with any decoder.

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

// ipv4 is a header from 192.0.2.1 to 198.51.100.2 with TTL 64, in front of body.
func ipv4(proto uint8, fragment uint16, options, body []byte) []byte {
	header := 20 + len(options)
	return cat(
		[]byte{0x40 | byte(header/4), 0}, be16(uint16(header+len(body))),
		[]byte{0x12, 0x34}, be16(fragment),
		[]byte{64, proto, 0, 0},
		[]byte{192, 0, 2, 1}, []byte{198, 51, 100, 2},
		options, body)
}

// ipv6 is a header from 2001:db8::1 to 2001:db8::2 with hop limit 63, in front of body.
func ipv6(next uint8, body ...[]byte) []byte {
	return ipv6Between("2001:db8::1", "2001:db8::2", next, body...)
}

func ipv6Between(src, dst string, next uint8, body ...[]byte) []byte {
	b := cat(body...)
	s, d := netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
	return cat([]byte{0x60, 0, 0, 0}, be16(uint16(len(b))), []byte{next, 63}, s[:], d[:], b)
}

// tcp is a header from port 40000 to 22.
func tcp(flags Flags, options, payload []byte) []byte {
	return cat(be16(40000), be16(22), make([]byte, 8),
		[]byte{byte(20+len(options)) / 4 << 4, byte(flags)}, make([]byte, 6), options, payload)
}

// udp is a header from port 5353 to 53.
func udp(payload []byte) []byte {
	return cat(be16(5353), be16(53), be16(uint16(8+len(payload))), be16(0), payload)
}

func icmp(icmpType, code uint8, payload []byte) []byte {
	return cat([]byte{icmpType, code, 0, 0, 1, 2, 3, 4}, payload)
}

// extension is an IPv6 options or routing header of 8 bytes per unit.
func extension(next uint8, units int) []byte {
	return cat([]byte{next, byte(units - 1)}, make([]byte, units*8-2))
}

// fragment is an IPv6 fragment header; offset is in units of 8 bytes.
func fragment(next uint8, offset uint16, more bool) []byte {
	field := offset << 3
	if more {
		field |= 1
	}
	return cat([]byte{next, 0}, be16(field), make([]byte, 4))
}

// authentication is an AH of 24 bytes.
func authentication(next uint8) []byte {
	return cat([]byte{next, 4}, make([]byte, 22))
}
