package nflog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Event is one logged packet. Its slices point into the receive buffer and the
// Event itself is reused: both are valid until the handler returns. Appending to
// a slice copies it.
type Event struct {
	Prefix  []byte // the rule's log prefix
	Payload []byte // the packet from its network header on, CopyRange bytes at most

	// Time is the kernel's receive time, to the microsecond. It is zero on the
	// output and postrouting hooks, and where an older kernel took no timestamp.
	Time time.Time

	Family     uint8  // NFPROTO_* of the hook, linux/netfilter.h
	Hook       uint8  // NF_INET_* of linux/netfilter.h, or NF_BR_*, NF_NETDEV_*
	HWProtocol uint16 // ethertype, ETH_P_* of linux/if_ether.h, in host byte order
	Mark       uint32

	// Interface indexes, 0 for none. The physical ones are bridge ports.
	InDev, OutDev, PhysInDev, PhysOutDev uint32

	// UID and GID own the local socket, seen from the user namespace of the
	// Reader, if the kernel knows the socket.
	UID, GID       uint32
	HasUID, HasGID bool

	// Seq is the kernel's number of the packet within the group.
	Seq    uint32
	HasSeq bool

	HWType   uint16 // ARPHRD_* of linux/if_arp.h
	HWAddr   []byte // source hardware address of a received packet
	HWHeader []byte // link-layer header of a received packet, and of any in the bridge and netdev families

	// VLANProtocol and VLANTCI are the VLAN tag that the kernel has taken off the
	// packet, in the bridge and netdev families: ETH_P_8021Q or ETH_P_8021AD, 0 for
	// none, and its priority and id. HWProtocol is what comes after this tag; where
	// that is another tag, Payload begins with its control information.
	VLANProtocol, VLANTCI uint16
}

// ErrMalformed is of attributes that contradict themselves.
var ErrMalformed = errors.New("malformed NFLOG attributes")

// Parse fills e from the attributes of one packet, as a capture of NFLOG
// (LINKTYPE_NFLOG) holds them. Such a capture may have been cut: then the last attribute
// is, if it is the payload, or missing. The slices of e point into attributes, which Parse may change.
func (e *Event) Parse(family uint8, attributes []byte) error {
	*e = Event{Family: family}
	if !e.decode(uncut(attributes)) || e.Prefix == nil && e.Payload == nil {
		return ErrMalformed
	}
	e.cutLinkHeader()
	return nil
}

// uncut makes the last of a sequence of attributes whole where it was cut.
func uncut(b []byte) []byte {
	for at := 0; len(b)-at >= attributeHeader; {
		size := int(binary.NativeEndian.Uint16(b[at:]))
		if size > len(b)-at {
			if binary.NativeEndian.Uint16(b[at+2:])&attributeType != attrPayload {
				return b[:at]
			}
			binary.NativeEndian.PutUint16(b[at:], uint16(len(b)-at))
			return b
		}
		at += max(align(size), attributeHeader)
	}
	return b
}

// decode fills e from the attributes in b. It reports whether each is long enough for what
// it should hold; attributes that e has no field for are skipped.
//
// The switch stands inside the loop, and not in a function of its own, because
// this is where a Reader spends its time.
func (e *Event) decode(b []byte) (ok bool) {
	for len(b) >= attributeHeader {
		size := int(binary.NativeEndian.Uint16(b))
		if size < attributeHeader || size > len(b) {
			return false
		}
		v, ok := b[attributeHeader:size], true
		switch binary.NativeEndian.Uint16(b[2:]) & attributeType {
		case attrPacketHdr:
			ok = e.setPacketHeader(v)
		case attrMark:
			ok = set32(&e.Mark, v)
		case attrTimestamp:
			ok = e.setTime(v)
		case attrInDev:
			ok = set32(&e.InDev, v)
		case attrOutDev:
			ok = set32(&e.OutDev, v)
		case attrPhysInDev:
			ok = set32(&e.PhysInDev, v)
		case attrPhysOutDev:
			ok = set32(&e.PhysOutDev, v)
		case attrHWAddr:
			ok = e.setHWAddr(v)
		case attrPayload:
			e.Payload = slices.Clip(v)
		case attrPrefix:
			e.Prefix = slices.Clip(trimNUL(v))
		case attrUID:
			ok = set32(&e.UID, v)
			e.HasUID = ok
		case attrGID:
			ok = set32(&e.GID, v)
			e.HasGID = ok
		case attrSeq:
			ok = set32(&e.Seq, v)
			e.HasSeq = ok
		case attrHWType:
			ok = set16(&e.HWType, v)
		case attrHWHeader, attrL2Header:
			e.HWHeader = slices.Clip(v)
		case attrVLAN:
			ok = e.setVLAN(v)
		}
		if !ok {
			return false
		}
		b = b[min(align(size), len(b)):]
	}
	return true
}

// setVLAN takes the attributes nested in NFULA_VLAN.
func (e *Event) setVLAN(b []byte) (ok bool) {
	for len(b) >= attributeHeader {
		size := int(binary.NativeEndian.Uint16(b))
		if size < attributeHeader || size > len(b) {
			return false
		}
		v, ok := b[attributeHeader:size], true
		switch binary.NativeEndian.Uint16(b[2:]) & attributeType {
		case attrVLANProtocol:
			ok = set16(&e.VLANProtocol, v)
		case attrVLANTCI:
			ok = set16(&e.VLANTCI, v)
		}
		if !ok {
			return false
		}
		b = b[min(align(size), len(b)):]
	}
	return true
}

// cutLinkHeader makes Payload begin at the network header: on the egress hook the
// kernel copies a packet from its link-layer header on.
func (e *Event) cutLinkHeader() {
	if e.Family != unix.NFPROTO_NETDEV || e.Hook != unix.NF_NETDEV_EGRESS {
		return
	}
	n := min(len(e.HWHeader), len(e.Payload))
	if bytes.Equal(e.HWHeader[:n], e.Payload[:n]) {
		e.Payload = e.Payload[n:]
	}
}

func set16(to *uint16, v []byte) (ok bool) {
	if len(v) < 2 {
		return false
	}
	*to = binary.BigEndian.Uint16(v)
	return true
}

func set32(to *uint32, v []byte) (ok bool) {
	if len(v) < 4 {
		return false
	}
	*to = binary.BigEndian.Uint32(v)
	return true
}

// setPacketHeader takes struct nfulnl_msg_packet_hdr.
func (e *Event) setPacketHeader(v []byte) (ok bool) {
	if len(v) < 4 {
		return false
	}
	e.HWProtocol, e.Hook = binary.BigEndian.Uint16(v), v[2]
	return true
}

// setTime takes struct nfulnl_msg_packet_timestamp: seconds and microseconds.
func (e *Event) setTime(v []byte) (ok bool) {
	if len(v) < 16 {
		return false
	}
	sec, usec := binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])
	e.Time = time.Unix(int64(sec), int64(usec)*1000)
	return true
}

// setHWAddr takes struct nfulnl_msg_packet_hw: a length and 8 bytes for the address.
func (e *Event) setHWAddr(v []byte) (ok bool) {
	if len(v) < 12 {
		return false
	}
	n := min(binary.BigEndian.Uint16(v), 8)
	e.HWAddr = v[4 : 4+n : 4+n]
	return true
}

func trimNUL(v []byte) []byte {
	if n := len(v); n > 0 && v[n-1] == 0 {
		return v[:n-1]
	}
	return v
}
