package policy

import (
	"net"
	"net/netip"
	"slices"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/detect"
	"moonlatch/engine/packet"
)

// eventField is a field of an event, nil where the packet does not tell it.
type eventField struct {
	Entry
	get   func(s *events) lua.LValue
	needs func(*places) error // says what is missing for it to be told; nil where nothing can be
}

func eventFields() []eventField {
	field := func(name, takes, doc string, get func(s *events) lua.LValue) eventField {
		example := `fw.on(closed, function(ev) fw.log.info(tostring(ev.` + name + `)) end)`
		return eventField{Entry: Entry{Name: name, Takes: takes, Doc: doc, Example: example}, get: get}
	}
	return slices.Concat([]eventField{
		field("time", "number", "when the packet came, in seconds since 1970", eventTime),
		field("stream", "text", "the stream's name", func(s *events) lua.LValue { return s.word(s.stream.Name) }),
		field("rule", "text", "the name of the rule that logged the packet", func(s *events) lua.LValue { return s.word(s.rule) }),
		field("family", "text", `"ipv4" or "ipv6"`, eventFamily),
		field("src", "text", "source address", func(s *events) lua.LValue { return s.addr(s.pkt.Src) }),
		field("dst", "text", "destination address", func(s *events) lua.LValue { return s.addr(s.pkt.Dst) }),
		field("proto", "text", `the protocol's name, "tcp", or its number as text`, func(s *events) lua.LValue {
			return s.wordIf(s.pkt.HasProto, packet.ProtoName(s.pkt.Proto))
		}),
		field("sport", "number", "source port", func(s *events) lua.LValue { return s.shortIf(s.pkt.HasPorts, s.pkt.Sport) }),
		field("dport", "number", "destination port", func(s *events) lua.LValue { return s.shortIf(s.pkt.HasPorts, s.pkt.Dport) }),
		field("flags", "text", `the TCP flags that are set, such as "syn,ack"`, eventFlags),
		field("ttl", "number", "TTL or hop limit", func(s *events) lua.LValue { return s.shortIf(s.pkt.Src.IsValid(), uint16(s.pkt.TTL)) }),
		field("length", "number", "bytes, with the IP header", eventLength),
		field("iif", "text", "name of the input interface", func(s *events) lua.LValue { return s.ifname(s.pkt.Iif) }),
		field("oif", "text", "name of the output interface", func(s *events) lua.LValue { return s.ifname(s.pkt.Oif) }),
		field("mark", "number", "the packet's mark", func(s *events) lua.LValue { return s.number(s.pkt.Mark) }),
		field("mac", "text", "source hardware address", eventMAC),
		field("icmp_type", "text", `name of the ICMP type, such as "echo-request", or its number as text`, func(s *events) lua.LValue {
			return s.wordIf(s.pkt.HasICMP, packet.ICMPTypeName(s.pkt.Src.Is6(), s.pkt.ICMPType))
		}),
		field("icmp_code", "number", "ICMP code", func(s *events) lua.LValue { return s.shortIf(s.pkt.HasICMP, uint16(s.pkt.ICMPCode)) }),
		field("uid", "number", "owner of the local socket", func(s *events) lua.LValue { return s.numberIf(s.pkt.HasOwner, s.pkt.UID) }),
		field("gid", "number", "group of the local socket", func(s *events) lua.LValue { return s.numberIf(s.pkt.HasOwner, s.pkt.GID) }),
		field("payload", "text", "the bytes behind the transport header, as far as they were copied", eventPayload),
	}, placeFields())
}

func eventTime(s *events) lua.LValue {
	if s.pkt.Time.IsZero() {
		return lua.LNil
	}
	return lua.LNumber(float64(s.pkt.Time.UnixNano()) / 1e9)
}

func eventFamily(s *events) lua.LValue {
	family := "ipv4"
	if s.pkt.Src.Is6() {
		family = "ipv6"
	}
	return s.wordIf(s.pkt.Src.IsValid(), family)
}

func eventFlags(s *events) lua.LValue {
	if !s.pkt.HasFlags {
		return lua.LNil
	}
	return s.flags(s.pkt.Flags)
}

func eventMAC(s *events) lua.LValue {
	if !s.pkt.HasMAC {
		return lua.LNil
	}
	return lua.LString(net.HardwareAddr(s.pkt.MAC[:]).String())
}

func eventLength(s *events) lua.LValue {
	return s.numberIf(s.pkt.Length > 0, uint32(s.pkt.Length))
}

func eventPayload(s *events) lua.LValue {
	if s.pkt.Payload == nil {
		return lua.LNil
	}
	return lua.LString(s.pkt.Payload)
}

func (s *events) addr(a netip.Addr) lua.LValue {
	if !a.IsValid() {
		return lua.LNil
	}
	return s.addrs.get(a)
}

func (s *events) word(w string) lua.LValue {
	return s.words.get(w, func(w string) lua.LValue { return lua.LString(w) })
}

func (s *events) wordIf(known bool, w string) lua.LValue {
	if !known {
		return lua.LNil
	}
	return s.word(w)
}

func (s *events) number(n uint32) lua.LValue {
	if n > 0xffff {
		return lua.LNumber(n)
	}
	return s.numbers.get(uint16(n))
}

func (s *events) numberIf(known bool, n uint32) lua.LValue {
	if !known {
		return lua.LNil
	}
	return s.number(n)
}

func (s *events) shortIf(known bool, n uint16) lua.LValue {
	if !known {
		return lua.LNil
	}
	return s.numbers.get(n)
}

func (s *events) ifname(index uint32) lua.LValue {
	if index == 0 || s.iface == nil {
		return lua.LNil
	}
	name := s.iface(index)
	return s.wordIf(name != "", name)
}

// flags gives the names of TCP flags, made once for each combination.
func (s *events) flags(f packet.Flags) lua.LValue {
	if s.flagTexts[f] == nil {
		s.flagTexts[f] = lua.LString(f.String())
	}
	return s.flagTexts[f]
}

// hitField is a field of a detector's hit.
type hitField struct {
	Entry
	get func(p *Policy, h detect.Hit) lua.LValue
}

func hitFields() []hitField {
	field := func(name, takes, doc string, get func(p *Policy, h detect.Hit) lua.LValue) hitField {
		example := `fw.detect "d" { on = closed, over = 10, within = "60s", action = function(hit) fw.log.info(tostring(hit.` + name + `)) end }`
		return hitField{Entry{Name: name, Takes: takes, Doc: doc, Example: example}, get}
	}
	return []hitField{
		field("detector", "text", "the detector's name", func(_ *Policy, h detect.Hit) lua.LValue { return lua.LString(h.Detector) }),
		field("key", "text", `what the counted events have in common, such as "203.0.113.9", "203.0.113.0/24", "192.0.2.1" or "203.0.113.9 to port 22"`, func(_ *Policy, h detect.Hit) lua.LValue {
			return lua.LString(h.Key())
		}),
		field("src", "text", `the address that went over the threshold; with per = "src/24", the last of that prefix. nil with per = "dst"`, func(p *Policy, h detect.Hit) lua.LValue { return p.events.addr(h.Src.Addr()) }),
		field("dst", "text", `the destination address with per = "dst" or { "src", "dst" }, otherwise nil`, func(p *Policy, h detect.Hit) lua.LValue { return p.events.addr(h.Dst) }),
		field("dport", "number", `the destination port with per = { "src", "dport" }, otherwise nil`, func(_ *Policy, h detect.Hit) lua.LValue {
			if h.Per != detect.SrcDport {
				return lua.LNil
			}
			return lua.LNumber(h.Dport)
		}),
		field("first", "number", "when the first counted event came, in seconds since 1970", func(_ *Policy, h detect.Hit) lua.LValue {
			return lua.LNumber(float64(h.First.UnixNano()) / 1e9)
		}),
		field("last", "number", "when the last counted event came", func(_ *Policy, h detect.Hit) lua.LValue {
			return lua.LNumber(float64(h.Last.UnixNano()) / 1e9)
		}),
		field("count", "number", `how much was counted: packets, bytes or distinct things`, func(_ *Policy, h detect.Hit) lua.LValue { return lua.LNumber(h.Count) }),
		field("ports", "list of numbers", `the latest 64 destination ports, with count = "distinct dport"; otherwise that of the last packet, if it has one`, func(p *Policy, h detect.Hit) lua.LValue {
			t := p.state.L().NewTable()
			for _, port := range h.Ports {
				t.Append(lua.LNumber(port))
			}
			return t
		}),
		field("addresses", "list of text", `the latest 64 addresses that were counted, with count = "distinct dst" or "distinct src"; of IPv6 sources the first of their /64`, func(p *Policy, h detect.Hit) lua.LValue {
			t := p.state.L().NewTable()
			for _, a := range h.Addrs {
				t.Append(lua.LString(a.String()))
			}
			return t
		}),
	}
}
