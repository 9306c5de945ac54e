package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/packet"
	"moonlatch/engine/ruleset"
)

type fieldReader = func(r *ruleReader, v value, not bool) (ruleset.Field, error)

var errEmptyList = errors.New("the list is empty, so nothing could match")

func readInterface(dir ruleset.Dir) fieldReader {
	return func(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
		f := ruleset.Interface{Dir: dir, Not: not}
		err := each(v, func(v value) error {
			name, err := text(v)
			if i := strings.IndexByte(name, '*'); i == 0 || i > 0 && i < len(name)-1 {
				err = fmt.Errorf("%q: a * stands only at the end, behind at least one letter", name)
			}
			if err == nil && !slices.Contains(f.Names, name) {
				f.Names = append(f.Names, name)
			}
			return err
		})
		if err == nil && len(f.Names) == 0 {
			err = errEmptyList
		}
		return f, err
	}
}

func readAddress(dir ruleset.Dir) fieldReader {
	return func(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
		addrs, sets, err := addresses(v)
		if err == nil && addrs == nil && len(sets) == 0 {
			err = errors.New("the list is empty, so nothing could match: for a list that may be empty, use fw.set")
		}
		return ruleset.Addr{Dir: dir, Not: not, Addrs: addrs, Sets: sets}, err
	}
}

// readTransport reads tcp, udp, sctp or dccp: destination ports, or true for any.
func readTransport(proto string) fieldReader {
	return func(r *ruleReader, v value, not bool) (ruleset.Field, error) {
		if b, ok := v.LValue.(lua.LBool); ok {
			if not || !bool(b) {
				return nil, fmt.Errorf("%v is not possible here: for every other protocol, write not_proto = %q", v.LValue, proto)
			}
			return ruleset.Ports{Proto: proto, Dir: ruleset.Dst}, nil
		}
		for _, f := range r.fields {
			if other, ok := f.(ruleset.Ports); ok && other.Proto != proto {
				return nil, fmt.Errorf("no packet is of %s and %s at once: write two rules or, for the same ports of both, proto = { %q, %q }, dport = …", other.Proto, proto, other.Proto, proto)
			}
		}
		return portField(v, proto, ruleset.Dst, not)
	}
}

func portField(v value, proto string, dir ruleset.Dir, not bool) (ruleset.Field, error) {
	ranges, sets, err := ports(v, proto)
	if err == nil && len(ranges) == 0 && len(sets) == 0 {
		err = errEmptyList
	}
	return ruleset.Ports{Proto: proto, Dir: dir, Not: not, Ranges: ranges, Sets: sets}, err
}

// readPorts reads sport or dport, ports of the protocol that another field names.
func readPorts(dir ruleset.Dir) fieldReader {
	return func(r *ruleReader, v value, not bool) (ruleset.Field, error) {
		proto, err := r.transport(dir)
		if err != nil || proto == "" {
			return nil, err
		}
		return portField(v, proto, dir, not)
	}
}

// transport finds the protocol whose ports sport and dport are: that of the
// fields read so far, or "th", nft's word for the header of whichever it is,
// where there are several. It is "" when a mistake there has been reported.
func (r *ruleReader) transport(dir ruleset.Dir) (string, error) {
	for _, f := range r.fields {
		switch f := f.(type) {
		case ruleset.Ports:
			if dir == ruleset.Dst && f.Dir == ruleset.Dst {
				return "", fmt.Errorf("the ports of %s are written %s = …; dport stands beside proto", f.Proto, f.Proto)
			}
			return f.Proto, nil
		case ruleset.Protocols:
			if !f.Not {
				return transportOf(f.Numbers)
			}
		}
	}
	if r.failed {
		return "", nil
	}
	return "", errors.New("a port of which protocol? Add one, for example udp = true, or proto = { \"tcp\", \"udp\" }")
}

func transportOf(numbers []uint8) (string, error) {
	for _, n := range numbers {
		if name := packet.ProtoName(n); !slices.Contains(transports(), name) {
			return "", fmt.Errorf("the protocol %s has no ports", name)
		}
	}
	if len(numbers) == 1 {
		return packet.ProtoName(numbers[0]), nil
	}
	return "th", nil
}

func transports() []string { return []string{"tcp", "udp", "sctp", "dccp", "udplite"} }

func readProtocol(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
	f := ruleset.Protocols{Not: not}
	err := each(v, func(v value) error {
		n, err := protocol(v.LValue)
		if err == nil && !slices.Contains(f.Numbers, n) {
			f.Numbers = append(f.Numbers, n)
		}
		return err
	})
	if err == nil && len(f.Numbers) == 0 {
		err = errEmptyList
	}
	slices.Sort(f.Numbers)
	return f, err
}

func protocol(v lua.LValue) (uint8, error) {
	switch v := v.(type) {
	case lua.LNumber:
		if n := uint8(v); lua.LNumber(n) == v {
			return n, nil
		}
		return 0, fmt.Errorf("%v is no protocol: they are whole numbers from 0 to 255", v)
	case lua.LString:
		if n, ok := packet.ParseProto(string(v)); ok {
			return n, nil
		}
		return 0, fmt.Errorf("unknown protocol %q%s", string(v), ruleset.Suggest(string(v), named(packet.ProtoName)))
	}
	return 0, fmt.Errorf("the name or number of a protocol is expected, not %s", describe(v))
}

// readICMP reads the types of ICMP and ICMPv6 messages.
func readICMP(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
	f := ruleset.ICMP{Not: not}
	if b, ok := v.LValue.(lua.LBool); ok {
		if not || !bool(b) {
			return nil, fmt.Errorf("%v is not possible here: for every other protocol, write not_proto = { \"icmp\", \"icmpv6\" }", v.LValue)
		}
		return f, nil
	}
	err := each(v, func(v value) error {
		if _, ok := v.LValue.(lua.LNumber); ok {
			return fmt.Errorf("%v means one thing in ICMP and another in ICMPv6: write the type's name, or nft text such as \"icmp type %v\"", v.LValue, v.LValue)
		}
		name, err := text(v)
		if err != nil {
			return err
		}
		t4, ok4 := packet.ParseICMPType(false, name)
		t6, ok6 := packet.ParseICMPType(true, name)
		if digits(name) || !ok4 && !ok6 {
			return fmt.Errorf("unknown ICMP type %q%s", name, pingHint(name))
		}
		if ok4 && !slices.Contains(f.V4, t4) {
			f.V4 = append(f.V4, t4)
		}
		if ok6 && !slices.Contains(f.V6, t6) {
			f.V6 = append(f.V6, t6)
		}
		return nil
	})
	if err == nil && len(f.V4)+len(f.V6) == 0 {
		err = errEmptyList
	}
	return f, err
}

func icmpTypes() []string {
	return append(named(func(n uint8) string { return packet.ICMPTypeName(false, n) }),
		named(func(n uint8) string { return packet.ICMPTypeName(true, n) })...)
}

// named lists the names that name gives to numbers.
func named(name func(uint8) string) []string {
	var out []string
	for n := range 256 {
		if s := name(uint8(n)); !digits(s) {
			out = append(out, s)
		}
	}
	return out
}

func readConnState(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
	states, err := wordList(v, "new", "established", "related", "invalid", "untracked")
	return ruleset.ConnState{Not: not, States: states}, err
}

func readLimit(over bool) fieldReader {
	return func(_ *ruleReader, v value, _ bool) (ruleset.Field, error) {
		l, err := limit(v.LValue)
		l.Over = over
		return l, err
	}
}
