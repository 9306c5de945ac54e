package capture

import (
	"encoding/binary"
	"fmt"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"moonlatch/nflog"
)

// Log is what NFLOG told of a packet, when a rule logged it. Its Payload is the packet.
type Log = nflog.Event

// Link layers that gopacket has no names for: https://www.tcpdump.org/linktypes.html
const (
	linkRawOld = layers.LinkType(12) // DLT_RAW, as some programs write it
	linkIPv6   = layers.LinkType(229)
	linkNFLOG  = layers.LinkType(239)
)

// known reports whether strip takes packets of a link layer.
func known(link layers.LinkType) error {
	switch link {
	case layers.LinkTypeEthernet, layers.LinkTypeRaw, linkRawOld, layers.LinkTypeIPv4, linkIPv6, layers.LinkTypeLinuxSLL, layers.LinkTypeLinuxSLL2, linkNFLOG:
		return nil
	}
	return fmt.Errorf("%w: %d (%s). Ethernet, raw IP, Linux cooked (SLL, SLL2) and NFLOG are; tcpdump -i any or -i eth0 writes these", ErrLink, int(link), link)
}

// strip takes the link layer off a packet. What ends inside of that holds nothing that a firewall could
// meet, and gets no Data.
func (p *Packet) strip(link layers.LinkType, b []byte, log *Log) error {
	switch link {
	case layers.LinkTypeEthernet:
		return p.ethernet(b)
	case layers.LinkTypeRaw, linkRawOld, layers.LinkTypeIPv4, linkIPv6:
		p.Data = b
		return nil
	case layers.LinkTypeLinuxSLL:
		return p.cooked(b)
	case layers.LinkTypeLinuxSLL2:
		return p.cooked2(b)
	case linkNFLOG:
		return p.nflog(b, log)
	}
	return known(link)
}

// maxTags bounds the VLAN tags that are taken off: QinQ has two.
const maxTags = 2

// ethernet is IEEE 802.3, with VLAN tags.
func (p *Packet) ethernet(b []byte) error {
	if len(b) < 14 {
		return nil
	}
	p.sender(b[6:12])
	p.Protocol, p.Data = binary.BigEndian.Uint16(b[12:]), b[14:]
	return p.tags()
}

func (p *Packet) tags() error {
	for range maxTags {
		if (p.Protocol != unix.ETH_P_8021Q && p.Protocol != unix.ETH_P_8021AD) || len(p.Data) < 4 {
			return nil
		}
		p.Protocol, p.Data = binary.BigEndian.Uint16(p.Data[2:]), p.Data[4:]
	}
	return nil
}

func (p *Packet) sender(mac []byte) { p.MAC, p.HasMAC = [6]byte(mac), true }

// cooked is LINKTYPE_LINUX_SLL: https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html
func (p *Packet) cooked(b []byte) error {
	if len(b) < 16 {
		return nil
	}
	p.Direction = packetType(binary.BigEndian.Uint16(b))
	if binary.BigEndian.Uint16(b[4:]) == 6 {
		p.sender(b[6:12])
	}
	p.Protocol, p.Data = binary.BigEndian.Uint16(b[14:]), b[16:]
	return p.tags()
}

// cooked2 is LINKTYPE_LINUX_SLL2: https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html
func (p *Packet) cooked2(b []byte) error {
	if len(b) < 20 {
		return nil
	}
	p.Direction = packetType(uint16(b[10]))
	if b[11] == 6 {
		p.sender(b[12:18])
	}
	p.Protocol, p.Data = binary.BigEndian.Uint16(b), b[20:]
	return p.tags()
}

// packetType reads PACKET_* of linux/if_packet.h.
func packetType(t uint16) Direction {
	switch t {
	case unix.PACKET_HOST, unix.PACKET_BROADCAST, unix.PACKET_MULTICAST:
		return In
	case unix.PACKET_OTHERHOST:
		return Other
	case unix.PACKET_OUTGOING:
		return Out
	}
	return Unknown
}

// nflog is LINKTYPE_NFLOG: the attributes of the kernel's message, in the byte order of the
// machine that captured it. https://www.tcpdump.org/linktypes/LINKTYPE_NFLOG.html
func (p *Packet) nflog(b []byte, log *Log) error {
	if len(b) < 4 {
		return nil
	}
	if err := log.Parse(b[0], b[4:]); err != nil {
		return fmt.Errorf("%w (captures of NFLOG are read on machines of the byte order of the one that wrote them)", err)
	}
	p.Log, p.Protocol, p.Data = log, log.HWProtocol, log.Payload
	if !log.Time.IsZero() {
		p.Time = log.Time // the kernel hands many over at once
	}
	if len(log.HWAddr) == len(p.MAC) {
		p.sender(log.HWAddr)
	}
	if p.Protocol == 0 {
		p.Protocol = map[uint8]uint16{unix.NFPROTO_IPV4: unix.ETH_P_IP, unix.NFPROTO_IPV6: unix.ETH_P_IPV6}[b[0]]
	}
	return nil
}
