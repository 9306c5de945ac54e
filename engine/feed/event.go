package feed

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"moonlatch/engine/packet"
)

// Event is one logged packet. Fields that the packet does not tell are zero;
// the Has flags of Packet tell a known zero from an unknown.
type Event struct {
	Stream  string // "trap" for a packet that a trap caught
	Chain   string
	Rule    string
	Verdict string // of the rule that logged it: accept, drop, …; "none" where it goes on
	Iif     string // name of the input interface
	Oif     string
	Packet  packet.Packet // without its payload
}

// IsZero reports whether the Item is no packet event.
func (e Event) IsZero() bool { return e.Stream == "" }

// eventJSON is an Event as JSON has it, with the keys that policies know.
type eventJSON struct {
	Time    time.Time  `json:"time"`
	Stream  string     `json:"stream"`
	Chain   string     `json:"chain"`
	Rule    string     `json:"rule"`
	Verdict string     `json:"verdict"`
	Family  string     `json:"family,omitempty"`
	Src     netip.Addr `json:"src,omitzero"`
	Dst     netip.Addr `json:"dst,omitzero"`
	Proto   string     `json:"proto,omitempty"`
	Sport   *uint16    `json:"sport,omitempty"`
	Dport   *uint16    `json:"dport,omitempty"`
	Flags   string     `json:"flags,omitempty"`
	TTL     uint8      `json:"ttl,omitempty"`
	Length  int        `json:"length,omitempty"`
	Iif     string     `json:"iif,omitempty"`
	Oif     string     `json:"oif,omitempty"`
	Mark    uint32     `json:"mark,omitempty"`
	MAC     string     `json:"mac,omitempty"`
	Type    string     `json:"icmp_type,omitempty"`
	Code    *uint8     `json:"icmp_code,omitempty"`
	UID     *uint32    `json:"uid,omitempty"`
	GID     *uint32    `json:"gid,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (e Event) MarshalJSON() ([]byte, error) {
	p := &e.Packet
	j := eventJSON{
		Time: p.Time, Stream: e.Stream, Chain: e.Chain, Rule: e.Rule, Verdict: e.Verdict, Family: e.Family(), Src: p.Src, Dst: p.Dst,
		TTL: p.TTL, Length: p.Length, Iif: e.Iif, Oif: e.Oif, Mark: p.Mark, Proto: e.Proto(), MAC: e.MAC(),
	}
	if p.HasPorts {
		j.Sport, j.Dport = &p.Sport, &p.Dport
	}
	if p.HasFlags {
		j.Flags = p.Flags.String()
	}
	if p.HasICMP {
		j.Type, j.Code = packet.ICMPTypeName(p.Src.Is6(), p.ICMPType), &p.ICMPCode
	}
	if p.HasOwner {
		j.UID, j.GID = &p.UID, &p.GID
	}
	return json.Marshal(j)
}

// UnmarshalJSON implements json.Unmarshaler, for clients of the control API.
func (e *Event) UnmarshalJSON(text []byte) error {
	var j eventJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	p := packet.Packet{Time: j.Time, Src: j.Src, Dst: j.Dst, TTL: j.TTL, Length: j.Length, Mark: j.Mark}
	var err error
	if j.Proto != "" {
		if p.Proto, p.HasProto = packet.ParseProto(j.Proto); !p.HasProto {
			err = fmt.Errorf("event: no protocol is called %q", j.Proto)
		}
	}
	if j.Flags != "" {
		if p.Flags, p.HasFlags = packet.ParseFlags(j.Flags); !p.HasFlags {
			err = fmt.Errorf("event: %q are no TCP flags", j.Flags)
		}
	}
	if j.Type != "" {
		if p.ICMPType, p.HasICMP = packet.ParseICMPType(j.Src.Is6(), j.Type); !p.HasICMP {
			err = fmt.Errorf("event: no ICMP type is called %q", j.Type)
		}
	}
	if mac, macErr := net.ParseMAC(j.MAC); macErr == nil && len(mac) == len(p.MAC) {
		p.MAC, p.HasMAC = [6]byte(mac), true
	}
	take(&p.Sport, j.Sport, &p.HasPorts)
	take(&p.Dport, j.Dport, &p.HasPorts)
	take(&p.ICMPCode, j.Code, &p.HasICMP)
	take(&p.UID, j.UID, &p.HasOwner)
	take(&p.GID, j.GID, &p.HasOwner)
	*e = Event{Stream: j.Stream, Chain: j.Chain, Rule: j.Rule, Verdict: j.Verdict, Iif: j.Iif, Oif: j.Oif, Packet: p}
	return err
}

// take takes what is there, and notes that it is.
func take[T any](to, from *T, has *bool) {
	if from != nil {
		*to, *has = *from, true
	}
}

// Family is "ipv4", "ipv6", or "" of what is not IP.
func (e *Event) Family() string {
	switch {
	case e.Packet.Src.Is4():
		return "ipv4"
	case e.Packet.Src.Is6():
		return "ipv6"
	}
	return ""
}

// Proto is the name of the protocol, or its number, and "" where it is not known.
func (e *Event) Proto() string {
	if !e.Packet.HasProto {
		return ""
	}
	return packet.ProtoName(e.Packet.Proto)
}

// MAC is the source hardware address, "" where it is not known.
func (e *Event) MAC() string {
	if !e.Packet.HasMAC {
		return ""
	}
	return net.HardwareAddr(e.Packet.MAC[:]).String()
}

// Text is the packet in one line, for people: "drop closed: 203.0.113.9:40000 > 192.0.2.1:22 tcp syn on eth0".
func (e *Event) Text() string {
	p := &e.Packet
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s > %s", e.Verdict, e.Rule, end(p, p.Src, p.Sport), end(p, p.Dst, p.Dport))
	more := []string{e.Proto()}
	if p.HasFlags {
		more = append(more, p.Flags.String())
	}
	if p.HasICMP {
		more = append(more, packet.ICMPTypeName(p.Src.Is6(), p.ICMPType))
	}
	if e.Iif+e.Oif != "" {
		more = append(more, "on", strings.Trim(e.Iif+">"+e.Oif, ">"))
	}
	for _, m := range more {
		if m != "" {
			b.WriteString(" " + m)
		}
	}
	return b.String()
}

// end is one end of a packet's way.
func end(p *packet.Packet, a netip.Addr, port uint16) string {
	switch {
	case !a.IsValid():
		return "?"
	case p.HasPorts:
		return netip.AddrPortFrom(a, port).String()
	}
	return a.String()
}
