package policy

import (
	"fmt"
	"net"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"go4.org/netipx"

	"moonlatch/engine/packet"
	"moonlatch/engine/ruleset"
)

// matcher is one condition of a filter. What the packet does not tell, it does
// not meet, negated or not.
type matcher func(*packet.Packet) bool

// filterOptions are what the table of fw.on can hold besides a rule's fields.
func filterOptions() []option[*Handler] {
	return []option[*Handler]{
		{Entry{Name: "fields", Takes: "list of names of event fields", Doc: "passes these to the function instead of an event object, which is faster", Example: `fw.on(closed, { fields = { "src", "dport" } }, function(src, dport) fw.log.info(src) end)`},
			func(l *loader, h *Handler, v value) error {
				err := each(v, func(v value) error {
					name, err := text(v)
					if err != nil {
						return err
					}
					f := lookup(eventFields(), name)
					if f == nil {
						return fmt.Errorf("an event has no field %q%s", name, ruleset.Suggest(name, names(eventFields())))
					}
					h.fields = append(h.fields, *f)
					if f.needs != nil {
						return f.needs(&l.geo)
					}
					return nil
				})
				if err == nil && len(h.fields) == 0 {
					err = fmt.Errorf("the list is empty")
				}
				return err
			}},
	}
}

// filter reads the second argument of fw.on: conditions, in the words of a
// rule, that are checked natively before Lua is called.
func (l *loader) filter(h *Handler, t table) {
	const what = "the filter of fw.on"
	l.noItems(what, t)
	if f := filterOptions()[0]; t.RawGetString(f.Name) != lua.LNil {
		v := t.field(f.Name)
		l.reportAll(v.pos, what+": "+f.Name+": ", f.set(l, h, v))
	}
	known := slices.DeleteFunc(slices.Clone(l.fields), func(f ruleField) bool { return !f.filter })
	r := &ruleReader{loader: l, t: t, accepted: names(filterOptions())}
	r.readFields(what, known)
	for _, f := range r.fields {
		if a, ok := f.(ruleset.Addr); ok {
			for _, s := range a.Sets {
				if s.Changes() {
					l.report(t.pos, "%s: %v", what, errDynamic(s))
				}
			}
		}
		h.filter = append(h.filter, l.matcher(f))
	}
}

// matcher compiles a condition.
func (l *loader) matcher(f ruleset.Field) matcher {
	switch f := f.(type) {
	case ruleset.Addr:
		return matchAddr(f)
	case ruleset.Ports:
		return matchPorts(f)
	case ruleset.Protocols:
		set := numberSet(f.Numbers)
		return func(p *packet.Packet) bool { return p.HasProto && set[p.Proto] != f.Not }
	case ruleset.ICMP:
		return matchICMP(f)
	case ruleset.TCPFlags:
		return func(p *packet.Packet) bool {
			return p.HasFlags && (uint8(p.Flags)&f.Mask == f.Set) != f.Not
		}
	case ruleset.Number:
		return matchNumber(f)
	case ruleset.Masked:
		return func(p *packet.Packet) bool { return (p.Mark&f.Mask == f.Value) != f.Not }
	case ruleset.MAC:
		return matchMAC(f)
	case ruleset.Interface:
		return matchInterface(f, l.env.InterfaceName)
	}
	return func(*packet.Packet) bool { return false } // the schema lets no other field in
}

func matchAddr(f ruleset.Addr) matcher {
	var b netipx.IPSetBuilder
	if f.Addrs != nil {
		b.AddSet(f.Addrs)
	}
	for _, s := range f.Sets {
		s.Addrs.AddTo(&b)
	}
	set, err := b.IPSet()
	if err != nil {
		return func(*packet.Packet) bool { return false } // not possible: each part is a set itself
	}
	return func(p *packet.Packet) bool {
		a := p.Src
		if f.Dir == ruleset.Dst {
			a = p.Dst
		}
		return a.IsValid() && set.Contains(a) != f.Not
	}
}

func matchPorts(f ruleset.Ports) matcher {
	protos := numberSet(protoNumbers(f.Proto))
	ranges := slices.Clone(f.Ranges)
	for _, s := range f.Sets {
		ranges = append(ranges, s.Ports...)
	}
	if len(ranges) == 0 && len(f.Sets) == 0 {
		return func(p *packet.Packet) bool { return p.HasProto && protos[p.Proto] }
	}
	return func(p *packet.Packet) bool {
		port := p.Sport
		if f.Dir == ruleset.Dst {
			port = p.Dport
		}
		return p.HasPorts && protos[p.Proto] && within(ranges, port) != f.Not
	}
}

func within(ranges []ruleset.PortRange, port uint16) bool {
	for _, r := range ranges {
		if r.From <= port && port <= r.To {
			return true
		}
	}
	return false
}

// protoNumbers gives the protocols that a Ports field means.
func protoNumbers(name string) []uint8 {
	list := []string{name}
	if name == "th" {
		list = transports() // a Protocols field beside it says which
	}
	var out []uint8
	for _, n := range list {
		if p, ok := packet.ParseProto(n); ok {
			out = append(out, p)
		}
	}
	return out
}

func matchICMP(f ruleset.ICMP) matcher {
	v4, v6 := numberSet(f.V4), numberSet(f.V6)
	anyType := len(f.V4) == 0 && len(f.V6) == 0
	icmp, icmpv6 := protoNumbers("icmp")[0], protoNumbers("icmpv6")[0]
	return func(p *packet.Packet) bool {
		switch {
		case !p.HasProto || p.Proto != icmp && p.Proto != icmpv6:
			return false
		case anyType:
			return true
		case !p.HasICMP:
			return false
		case p.Proto == icmp:
			return v4[p.ICMPType] != f.Not
		}
		return v6[p.ICMPType] != f.Not
	}
}

// matchNumber compares what a logged packet tells of itself.
func matchNumber(f ruleset.Number) matcher {
	in := func(n uint64) bool {
		for _, r := range f.Ranges {
			if r.From <= n && n <= r.To {
				return !f.Not
			}
		}
		return f.Not
	}
	switch f.Of {
	case ruleset.Mark:
		return func(p *packet.Packet) bool { return in(uint64(p.Mark)) }
	case ruleset.UID:
		return func(p *packet.Packet) bool { return p.HasOwner && in(uint64(p.UID)) }
	case ruleset.GID:
		return func(p *packet.Packet) bool { return p.HasOwner && in(uint64(p.GID)) }
	case ruleset.TTL:
		return func(p *packet.Packet) bool { return p.Src.IsValid() && in(uint64(p.TTL)) }
	case ruleset.Length:
		return func(p *packet.Packet) bool { return p.Length > 0 && in(uint64(p.Length)) }
	}
	return func(*packet.Packet) bool { return false } // the schema lets no other quantity in
}

func matchMAC(f ruleset.MAC) matcher {
	var list [][6]byte
	for _, s := range f.Addrs {
		if a, err := net.ParseMAC(s); err == nil { // it has been parsed before
			list = append(list, [6]byte(a))
		}
	}
	return func(p *packet.Packet) bool { return p.HasMAC && slices.Contains(list, p.MAC) != f.Not }
}

func matchInterface(f ruleset.Interface, name func(uint32) string) matcher {
	return func(p *packet.Packet) bool {
		index := p.Iif
		if f.Dir == ruleset.Dst {
			index = p.Oif
		}
		if index == 0 || name == nil {
			return false
		}
		n := name(index)
		return n != "" && interfaceIn(f.Names, n) != f.Not
	}
}

func interfaceIn(names []string, name string) bool {
	for _, n := range names {
		if prefix, wild := strings.CutSuffix(n, "*"); n == name || wild && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func numberSet(list []uint8) *[256]bool {
	var set [256]bool
	for _, n := range list {
		set[n] = true
	}
	return &set
}
