package export

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"moonlatch/engine/feed"
	"moonlatch/engine/packet"
)

// Line is what an item says in one line. Of a packet that is the kernel's line of the LOG target, which psad,
// fwlogwatch and fail2ban read: see nf_log_syslog.c. What is not known of a packet is 0.
func Line(it *feed.Item) string {
	if it.Kind != feed.KindEvent {
		return it.Text()
	}
	e, p := &it.Event, &it.Event.Packet
	var b strings.Builder
	fmt.Fprintf(&b, "moonlatch %s %s/%s IN=%s OUT=%s ", e.Verdict, e.Stream, e.Rule, e.Iif, e.Oif)
	if p.HasMAC {
		fmt.Fprintf(&b, "MAC=00:00:00:00:00:00:%s:%s ", e.MAC(), etherType(p))
	}
	switch {
	case p.Src.Is4():
		fmt.Fprintf(&b, "SRC=%s DST=%s LEN=%d TOS=0x00 PREC=0x00 TTL=%d ID=0 ", p.Src, p.Dst, p.Length, p.TTL)
	case p.Src.Is6():
		fmt.Fprintf(&b, "SRC=%s DST=%s LEN=%d TC=0 HOPLIMIT=%d FLOWLBL=0 ", p.Src.StringExpanded(), expanded(p.Dst), p.Length, p.TTL)
	}
	if p.HasProto {
		b.WriteString("PROTO=" + protoName(p.Proto) + " ")
	}
	transport(&b, p)
	if p.HasOwner {
		fmt.Fprintf(&b, "UID=%d GID=%d ", p.UID, p.GID)
	}
	if p.Mark != 0 {
		fmt.Fprintf(&b, "MARK=0x%x ", p.Mark)
	}
	return b.String()
}

// transport writes what the transport header says.
func transport(b *strings.Builder, p *packet.Packet) {
	if p.HasPorts {
		fmt.Fprintf(b, "SPT=%d DPT=%d ", p.Sport, p.Dport)
	}
	switch {
	case p.HasFlags:
		b.WriteString("WINDOW=0 RES=0x00 ")
		for i, name := range []string{"CWR", "ECE", "URG", "ACK", "PSH", "RST", "SYN", "FIN"} {
			if p.Flags&(1<<(7-i)) != 0 {
				b.WriteString(name + " ")
			}
		}
		b.WriteString("URGP=0 ")
	case p.HasPorts && p.Proto == unix.IPPROTO_UDP:
		b.WriteString("LEN=0 ")
	case p.HasICMP:
		fmt.Fprintf(b, "TYPE=%d CODE=%d ", p.ICMPType, p.ICMPCode)
	}
}

func etherType(p *packet.Packet) string {
	if p.Src.Is6() {
		return "86:dd"
	}
	return "08:00"
}

func expanded(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.StringExpanded()
}

// protoName is the kernel's name of a protocol.
func protoName(proto uint8) string {
	switch proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMP, unix.IPPROTO_UDPLITE, unix.IPPROTO_ESP, unix.IPPROTO_AH:
		return strings.ToUpper(packet.ProtoName(proto))
	case unix.IPPROTO_ICMPV6:
		return "ICMPv6"
	}
	return fmt.Sprint(proto)
}
