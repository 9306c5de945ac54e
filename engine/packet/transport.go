package packet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// decodeTransport decodes the header of protocol p.Proto at the start of b. Of a
// protocol that it does not know, all of b is the payload.
func (p *Packet) decodeTransport(b []byte) error {
	switch p.Proto {
	case unix.IPPROTO_TCP:
		return p.decodeTCP(b)
	case unix.IPPROTO_UDP:
		return p.decodeUDP(b)
	case unix.IPPROTO_UDPLITE: // RFC 3828: its length field is checksum coverage
		return p.decodePorts(b, 8)
	case unix.IPPROTO_SCTP: // RFC 9260 §3.1
		return p.decodePorts(b, 12)
	case unix.IPPROTO_DCCP:
		return p.decodeDCCP(b)
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		return p.decodeICMP(b)
	}
	p.Payload = b
	return nil
}

// decodePorts decodes the two ports that start b, and takes what follows its
// header for the payload.
func (p *Packet) decodePorts(b []byte, header int) error {
	if len(b) < 4 {
		return ErrTruncated
	}
	p.Sport = binary.BigEndian.Uint16(b)
	p.Dport = binary.BigEndian.Uint16(b[2:])
	p.HasPorts = true
	if len(b) < header {
		return ErrTruncated
	}
	p.Payload = b[header:]
	return nil
}

// decodeTCP decodes a TCP header (RFC 9293 §3.1).
func (p *Packet) decodeTCP(b []byte) error {
	const fixed = 20
	header := fixed
	if len(b) >= 14 {
		p.Flags, p.HasFlags = Flags(b[13]), true
		header = int(b[12]>>4) * 4
	}
	if err := p.decodePorts(b, header); err != nil {
		return err
	}
	return p.rejectShort(header, fixed)
}

// decodeDCCP decodes a DCCP generic header (RFC 4340 §5.1).
func (p *Packet) decodeDCCP(b []byte) error {
	const fixed = 12
	header := fixed
	if len(b) >= 5 {
		header = int(b[4]) * 4
	}
	if err := p.decodePorts(b, header); err != nil {
		return err
	}
	return p.rejectShort(header, fixed)
}

// rejectShort takes the payload back when the stated header length is less than
// the header's fixed part: nobody can tell where the data begins.
func (p *Packet) rejectShort(header, fixed int) error {
	if header >= fixed {
		return nil
	}
	p.Payload = nil
	return ErrHeader
}

// decodeUDP decodes a UDP header (RFC 768).
func (p *Packet) decodeUDP(b []byte) error {
	const header = 8
	if err := p.decodePorts(b, header); err != nil {
		return err
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length >= header && length < len(b) {
		p.Payload = b[header:length]
	}
	return nil
}

// decodeICMP decodes the header that all ICMP (RFC 792) and ICMPv6 (RFC 4443)
// messages share.
func (p *Packet) decodeICMP(b []byte) error {
	const header = 8
	if len(b) < 2 {
		return ErrTruncated
	}
	p.ICMPType, p.ICMPCode, p.HasICMP = b[0], b[1], true
	if len(b) < header {
		return ErrTruncated
	}
	p.Payload = b[header:]
	return nil
}
