package packet

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// flagNames are nft's names of the TCP flags, from bit 0 up. It says ecn where
// RFC 9293 says ECE.
func flagNames() [8]string {
	return [8]string{"fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"}
}

// String returns the flags as nft writes them: "syn,ack", and "0x0" for none.
func (f Flags) String() string {
	if f == 0 {
		return "0x0"
	}
	var b strings.Builder
	for bit, name := range flagNames() {
		if f&(1<<bit) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name)
	}
	return b.String()
}

// ParseFlags parses a comma-separated list of nft's names of TCP flags, in any
// order, with "ece" for "ecn" as well, or "0x0" for no flag at all.
func ParseFlags(s string) (flags Flags, ok bool) {
	if s == "0x0" {
		return 0, true
	}
	for name := range strings.SplitSeq(s, ",") {
		f, ok := parseFlag(strings.TrimSpace(name))
		if !ok {
			return 0, false
		}
		flags |= f
	}
	return flags, true
}

func parseFlag(s string) (Flags, bool) {
	if s == "ece" {
		return ECE, true
	}
	for bit, name := range flagNames() {
		if s == name {
			return 1 << bit, true
		}
	}
	return 0, false
}

// ProtoName returns the name of an upper-layer protocol as /etc/protocols and
// nft have it, except icmpv6, which they call ipv6-icmp. A protocol without a
// name is written as a number.
func ProtoName(proto uint8) string {
	switch proto {
	case unix.IPPROTO_ICMP:
		return "icmp"
	case unix.IPPROTO_IGMP:
		return "igmp"
	case unix.IPPROTO_IPIP:
		return "ipencap"
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_DCCP:
		return "dccp"
	case unix.IPPROTO_IPV6:
		return "ipv6"
	case unix.IPPROTO_RSVP:
		return "rsvp"
	case unix.IPPROTO_GRE:
		return "gre"
	case unix.IPPROTO_ESP:
		return "esp"
	case unix.IPPROTO_AH:
		return "ah"
	case unix.IPPROTO_ICMPV6:
		return "icmpv6"
	case unix.IPPROTO_NONE:
		return "ipv6-nonxt"
	case 88:
		return "eigrp"
	case 89:
		return "ospf"
	case unix.IPPROTO_PIM:
		return "pim"
	case unix.IPPROTO_COMP:
		return "ipcomp"
	case 112:
		return "vrrp"
	case unix.IPPROTO_L2TP:
		return "l2tp"
	case unix.IPPROTO_SCTP:
		return "sctp"
	case unix.IPPROTO_MH:
		return "mobility-header"
	case unix.IPPROTO_UDPLITE:
		return "udplite"
	}
	return strconv.Itoa(int(proto))
}

// ParseProto is the inverse of ProtoName. It takes ipv6-icmp for icmpv6 too.
func ParseProto(name string) (proto uint8, ok bool) {
	if name == "ipv6-icmp" {
		return unix.IPPROTO_ICMPV6, true
	}
	return inverse(ProtoName, name)
}

// ICMPTypeName returns nft's name of an ICMPv6 type if v6, else of an ICMP type,
// as "nft describe icmp type" lists them. A type without a name is written as a
// number.
func ICMPTypeName(v6 bool, icmpType uint8) string {
	if v6 {
		return icmp6TypeName(icmpType)
	}
	return icmp4TypeName(icmpType)
}

// ParseICMPType is the inverse of ICMPTypeName. It knows nft's second name of
// ICMPv6 type 132, mld-listener-reduction, too.
func ParseICMPType(v6 bool, name string) (icmpType uint8, ok bool) {
	if v6 && name == "mld-listener-reduction" {
		return 132, true
	}
	return inverse(func(t uint8) string { return ICMPTypeName(v6, t) }, name)
}

func icmp4TypeName(icmpType uint8) string {
	switch icmpType {
	case 0:
		return "echo-reply"
	case 3:
		return "destination-unreachable"
	case 4:
		return "source-quench"
	case 5:
		return "redirect"
	case 8:
		return "echo-request"
	case 9:
		return "router-advertisement"
	case 10:
		return "router-solicitation"
	case 11:
		return "time-exceeded"
	case 12:
		return "parameter-problem"
	case 13:
		return "timestamp-request"
	case 14:
		return "timestamp-reply"
	case 15:
		return "info-request"
	case 16:
		return "info-reply"
	case 17:
		return "address-mask-request"
	case 18:
		return "address-mask-reply"
	}
	return strconv.Itoa(int(icmpType))
}

func icmp6TypeName(icmpType uint8) string {
	switch icmpType {
	case 1:
		return "destination-unreachable"
	case 2:
		return "packet-too-big"
	case 3:
		return "time-exceeded"
	case 4:
		return "parameter-problem"
	case 128:
		return "echo-request"
	case 129:
		return "echo-reply"
	case 130:
		return "mld-listener-query"
	case 131:
		return "mld-listener-report"
	case 132:
		return "mld-listener-done"
	case 133:
		return "nd-router-solicit"
	case 134:
		return "nd-router-advert"
	case 135:
		return "nd-neighbor-solicit"
	case 136:
		return "nd-neighbor-advert"
	case 137:
		return "nd-redirect"
	case 138:
		return "router-renumbering"
	case 141:
		return "ind-neighbor-solicit"
	case 142:
		return "ind-neighbor-advert"
	case 143:
		return "mld2-listener-report"
	}
	return strconv.Itoa(int(icmpType))
}

// inverse finds the number that name gives s to. Names are looked up when a
// policy loads, never per packet, so one table each, read both ways, is enough.
func inverse(name func(uint8) string, s string) (uint8, bool) {
	for n := range 256 {
		if name(uint8(n)) == s {
			return uint8(n), true
		}
	}
	return 0, false
}
