package policytest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"golang.org/x/sys/unix"

	"moonlatch/engine/lab"
	"moonlatch/engine/packet"
	"moonlatch/engine/ruleset"
)

// draft is a packet while its fields are read.
type draft struct {
	lab.Packet
	protocols []string // the fields that say which protocol it is
	icmp      lua.LValue
	flagged   bool
	count     int
}

// field is a field of t.send.
type field struct {
	name string
	read func(d *draft, v lua.LValue) error
}

func fields() []field {
	return []field{
		{"src", func(d *draft, v lua.LValue) (err error) { d.Src, err = address(v); return err }},
		{"dst", func(d *draft, v lua.LValue) (err error) { d.Dst, err = address(v); return err }},
		{"tcp", func(d *draft, v lua.LValue) error { return d.port(v, "tcp", unix.IPPROTO_TCP) }},
		{"udp", func(d *draft, v lua.LValue) error { return d.port(v, "udp", unix.IPPROTO_UDP) }},
		{"sctp", func(d *draft, v lua.LValue) error { return d.port(v, "sctp", unix.IPPROTO_SCTP) }},
		{"icmp", func(d *draft, v lua.LValue) error {
			d.protocols, d.icmp = append(d.protocols, "icmp"), v
			return nil
		}},
		{"code", func(d *draft, v lua.LValue) error { return number(v, 255, func(n int) { d.ICMPCode = uint8(n) }) }},
		{"proto", func(d *draft, v lua.LValue) error { return d.proto(v) }},
		{"sport", func(d *draft, v lua.LValue) error { return number(v, 65535, func(n int) { d.Sport = uint16(n) }) }},
		{"flags", func(d *draft, v lua.LValue) error { return d.flags(v) }},
		{"iif", func(d *draft, v lua.LValue) (err error) { d.Iif, err = interfaceName(v); return err }},
		{"oif", func(d *draft, v lua.LValue) (err error) { d.Oif, err = interfaceName(v); return err }},
		{"output", func(d *draft, v lua.LValue) error { d.Output = lua.LVAsBool(v); return nil }},
		{"ttl", func(d *draft, v lua.LValue) error { return number(v, 255, func(n int) { d.TTL = uint8(n) }) }},
		{"dscp", func(d *draft, v lua.LValue) error { return number(v, 63, func(n int) { d.DSCP = uint8(n) }) }},
		{"mac", func(d *draft, v lua.LValue) (err error) {
			d.MAC, err = net.ParseMAC(v.String())
			if err == nil && len(d.MAC) != 6 {
				err = errors.New("an Ethernet address is expected")
			}
			return err
		}},
		{"payload", func(d *draft, v lua.LValue) error {
			s, ok := v.(lua.LString)
			if !ok || len(s) > 1400 {
				return errors.New("a text of at most 1400 bytes is expected")
			}
			d.Payload = []byte(s)
			return nil
		}},
		{"count", func(d *draft, v lua.LValue) error { return number(v, 100_000, func(n int) { d.count = n }) }},
	}
}

// Packet makes a packet of fields as t.send takes them, such as tcp = 22, written as text.
func Packet(values map[string]string) (lab.Packet, error) {
	var d draft
	d.count = 1
	for _, f := range fields() {
		text, ok := values[f.name]
		if !ok {
			continue
		}
		var v lua.LValue = lua.LString(text)
		if n, err := strconv.Atoi(text); err == nil {
			v = lua.LNumber(n)
		}
		if err := f.read(&d, v); err != nil {
			return lab.Packet{}, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	err := d.finish()
	return d.Packet, err
}

func fieldNames() []string {
	var out []string
	for _, f := range fields() {
		out = append(out, f.name)
	}
	return out
}

// packet reads the table of t.send or t.connect.
func (f *File) packet(L *lua.LState, form string) draft {
	d := draft{count: 1}
	t, ok := L.Get(1).(*lua.LTable)
	if !ok {
		f.mistake(L, `%s { src = "203.0.113.9", tcp = 22 } is expected, not %s`, form, describe(L.Get(1)))
	}
	for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
		name, ok := k.(lua.LString)
		if !ok {
			f.mistake(L, "%s: its fields have names, and %s has none", form, describe(v))
		}
		all := fields()
		i := slices.IndexFunc(all, func(f field) bool { return f.name == string(name) })
		if i < 0 {
			f.mistake(L, "unknown field %q in %s%s", string(name), form, ruleset.Suggest(string(name), fieldNames()))
		}
		if err := all[i].read(&d, v); err != nil {
			f.mistake(L, "%s: %s: %v", form, name, err)
		}
	}
	if err := d.finish(); err != nil {
		f.mistake(L, "%s: %v", form, err)
	}
	return d
}

// finish checks what the fields are together.
func (d *draft) finish() error {
	switch {
	case len(d.protocols) == 0:
		return errors.New("the protocol is missing: tcp = PORT, udp = PORT, sctp = PORT, icmp = TYPE or proto = NAME")
	case len(d.protocols) > 1:
		slices.Sort(d.protocols)
		return fmt.Errorf("a packet has one protocol, not %s", strings.Join(d.protocols, " and "))
	case d.flagged && d.Proto != unix.IPPROTO_TCP:
		return errors.New("flags are TCP's")
	case d.Src.IsValid() && d.Dst.IsValid() && d.Src.Is4() != d.Dst.Is4():
		return fmt.Errorf("src %s and dst %s are of different address families", d.Src, d.Dst)
	case d.count == 0:
		return errors.New("count is 0: nothing would be sent")
	}
	if d.Proto == unix.IPPROTO_TCP && !d.flagged {
		d.Flags = packet.SYN
	}
	if d.icmp != nil {
		return d.icmpType()
	}
	return nil
}

// icmpType reads a type's name or number, of the packet's address family.
func (d *draft) icmpType() error {
	v6 := d.Src.Is6() || d.Dst.Is6()
	d.Proto = unix.IPPROTO_ICMP
	if v6 {
		d.Proto = unix.IPPROTO_ICMPV6
	}
	if name, ok := d.icmp.(lua.LString); ok {
		n, ok := packet.ParseICMPType(v6, string(name))
		if !ok {
			return fmt.Errorf("icmp: %q is no type of %s%s", string(name), packet.ProtoName(d.Proto), ruleset.Suggest(string(name), icmpNames(v6)))
		}
		d.ICMPType = n
		return nil
	}
	if err := number(d.icmp, 255, func(n int) { d.ICMPType = uint8(n) }); err != nil {
		return fmt.Errorf("icmp: %w", err)
	}
	return nil
}

func icmpNames(v6 bool) []string {
	var out []string
	for n := range 256 {
		if name := packet.ICMPTypeName(v6, uint8(n)); name != "" {
			out = append(out, name)
		}
	}
	return out
}

func (d *draft) port(v lua.LValue, protocol string, proto uint8) error {
	d.protocols, d.Proto = append(d.protocols, protocol), proto
	if name, ok := v.(lua.LString); ok {
		n, err := net.LookupPort(protocol, string(name))
		if err != nil || n > 65535 {
			return fmt.Errorf("%q is no port: a packet goes to one port, such as 22 or \"ssh\"", string(name))
		}
		d.Dport = uint16(n)
		return nil
	}
	return number(v, 65535, func(n int) { d.Dport = uint16(n) })
}

func (d *draft) proto(v lua.LValue) error {
	d.protocols = append(d.protocols, "proto")
	if name, ok := v.(lua.LString); ok {
		if d.Proto, ok = packet.ParseProto(string(name)); !ok {
			return fmt.Errorf("%q is no protocol", string(name))
		}
		return nil
	}
	return number(v, 255, func(n int) { d.Proto = uint8(n) })
}

func (d *draft) flags(v lua.LValue) error {
	s, ok := v.(lua.LString)
	if s == "none" {
		s = "0x0"
	}
	d.flagged = true
	if d.Flags, d.flagged = packet.ParseFlags(string(s)); !ok || !d.flagged {
		return fmt.Errorf("%s are no flags: write \"syn\", \"syn,ack\" or \"none\"", describe(v))
	}
	return nil
}

func address(v lua.LValue) (netip.Addr, error) {
	s, ok := v.(lua.LString)
	if !ok {
		return netip.Addr{}, fmt.Errorf("an address is expected, not %s", describe(v))
	}
	a, err := netip.ParseAddr(string(s))
	if err != nil || a.Zone() != "" {
		return a, fmt.Errorf("%q is no address: a packet has one address, such as \"192.0.2.5\"", string(s))
	}
	return a.Unmap(), nil
}

func interfaceName(v lua.LValue) (string, error) {
	s, ok := v.(lua.LString)
	if !ok || s == "" || len(s) >= unix.IFNAMSIZ || strings.ContainsAny(string(s), "*/ ") {
		return "", fmt.Errorf("%s is no interface: a packet goes by one interface, such as \"eth0\"", describe(v))
	}
	return string(s), nil
}

// number reads a whole number from 0 to most.
func number(v lua.LValue, most int, set func(int)) error {
	n, ok := v.(lua.LNumber)
	if !ok || n < 0 || n > lua.LNumber(most) || n != lua.LNumber(int(n)) {
		return fmt.Errorf("a whole number from 0 to %d is expected, not %s", most, describe(v))
	}
	set(int(n))
	return nil
}
