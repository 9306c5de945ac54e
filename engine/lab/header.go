package lab

import (
	"bytes"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"moonlatch/engine/packet"
)

// Attributes of a trace message that tell of the packet: linux/netfilter/nf_tables.h, enum
// nft_trace_attributes. Those of connection tracking came with Linux 6.16.
const (
	traceNetwork   = 8
	traceTransport = 9
	traceIif       = 10
	traceOif       = 12
	traceMark      = 14
	traceCTState   = 21
)

// header is the packet as a base chain found it. The kernel tells it once a chain.
type header struct {
	packet.Packet
	known   bool
	iif     string
	oif     string
	ctState string // "" where the kernel does not tell
}

// headerReader collects the attributes of a message.
type headerReader struct {
	network, transport []byte
	iif, oif           uint32
	mark               uint32
	state              uint32
}

func (r *headerReader) attribute(kind uint16, v []byte) {
	switch kind {
	case traceNetwork:
		r.network = bytes.Clone(v)
	case traceTransport:
		r.transport = bytes.Clone(v)
	case traceIif:
		r.iif = uint32(number(v))
	case traceOif:
		r.oif = uint32(number(v))
	case traceMark:
		r.mark = uint32(number(v))
	case traceCTState:
		r.state = uint32(number(v))
	}
}

// header decodes what was collected; linkName names an interface.
func (r *headerReader) header(linkName func(uint32) string) (h header) {
	if len(r.network) == 0 {
		return h
	}
	// The kernel cuts both, which leaves fields out, but none wrong.
	h.Decode(0, append(append([]byte{}, r.network...), r.transport...))
	h.known = h.Src.IsValid()
	h.iif, h.oif, h.Mark = linkName(r.iif), linkName(r.oif), r.mark
	h.ctState = stateName(r.state)
	return h
}

// stateName names the bit of a connection's state: linux/netfilter/nf_conntrack_common.h, NF_CT_STATE_BIT.
func stateName(bit uint32) string {
	switch bit {
	case 1:
		return "invalid"
	case 2:
		return "established"
	case 4:
		return "related"
	case 8:
		return "new"
	case 64:
		return "untracked"
	}
	return ""
}

// value is what the packet has of a key of nft's language, "" where it has no such thing; ok is false where that
// is not known.
func (h *header) value(key string) (value string, ok bool) {
	proto, field, _ := strings.Cut(key, " ")
	switch key {
	case "meta nfproto":
		return map[bool]string{false: "ipv4", true: "ipv6"}[h.Src.Is6()], true
	case "meta l4proto", "ip protocol", "ip6 nexthdr":
		return l4Name(h.Proto), h.HasProto
	case "iif", "iifname":
		return h.iif, true
	case "oif", "oifname":
		return h.oif, true
	case "meta mark":
		return strconv.FormatUint(uint64(h.Mark), 10), true
	case "ct state":
		return h.ctState, h.ctState != ""
	case "ip saddr", "ip6 saddr":
		return h.Src.String(), true
	case "ip daddr", "ip6 daddr":
		return h.Dst.String(), true
	case "ip ttl", "ip6 hoplimit":
		return strconv.Itoa(int(h.TTL)), true
	case "tcp flags":
		return h.Flags.String(), h.HasFlags
	case "icmp type", "icmpv6 type":
		name := packet.ICMPTypeName(proto == "icmpv6", h.ICMPType)
		return name, h.HasICMP && name != ""
	}
	switch {
	case field == "sport" && h.HasPorts:
		return strconv.Itoa(int(h.Sport)), true
	case field == "dport" && h.HasPorts:
		return strconv.Itoa(int(h.Dport)), true
	}
	return "", (field == "sport" || field == "dport") && h.HasProto && !h.Fragment
}

// l4Name is nft's name of a protocol.
func l4Name(proto uint8) string {
	if proto == unix.IPPROTO_ICMPV6 {
		return "ipv6-icmp"
	}
	return packet.ProtoName(proto)
}
