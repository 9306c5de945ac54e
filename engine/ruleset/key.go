package ruleset

import (
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
)

// Key is something that a map or a set of several parts looks up about a packet.
type Key string

// The keys. Ports are those of the protocol that the rule asks for.
const (
	KeySrc   Key = "src"
	KeyDst   Key = "dst"
	KeySport Key = "sport"
	KeyDport Key = "dport"
	KeyIif   Key = "iif"
	KeyOif   Key = "oif"
	KeyMark  Key = "mark"
	KeyProto Key = "proto"
	KeyMAC   Key = "mac"
)

// Keys lists every key.
func Keys() []Key {
	return []Key{KeySrc, KeyDst, KeySport, KeyDport, KeyIif, KeyOif, KeyMark, KeyProto, KeyMAC}
}

// IsAddress reports whether the key is an address, IsPort whether it is a port.
func (k Key) IsAddress() bool { return k == KeySrc || k == KeyDst }
func (k Key) IsPort() bool    { return k == KeySport || k == KeyDport }

// selector is nft's word for the key in a packet of the family and protocol.
func (k Key) selector(f family, proto string) string {
	switch k {
	case KeySrc:
		return f.ip() + " saddr"
	case KeyDst:
		return f.ip() + " daddr"
	case KeySport, KeyDport:
		return proto + " " + string(k)
	case KeyIif, KeyOif:
		return string(k) + "name"
	case KeyMark:
		return "meta mark"
	case KeyMAC:
		return "ether saddr"
	}
	return "meta l4proto"
}

// typ is nft's data type of the key.
func (k Key) typ(f family) string {
	switch {
	case k.IsAddress() && f == ipv6:
		return "ipv6_addr"
	case k.IsAddress():
		return "ipv4_addr"
	case k.IsPort():
		return "inet_service"
	case k == KeyIif, k == KeyOif:
		return "ifname"
	case k == KeyMAC:
		return "ether_addr"
	case k == KeyProto:
		return "inet_proto"
	}
	return "mark"
}

// Value is one value of a key, in nft's words. Make one with the functions below.
type Value struct {
	text     string
	family   family // of an address
	interval bool
}

// AddrValue is an address, a prefix or a range of addresses.
func AddrValue(r netipx.IPRange) Value {
	f := ipv4
	if r.From().Is6() {
		f = ipv6
	}
	return Value{rangeText(r), f, r.From() != r.To()}
}

// HostValue is one address.
func HostValue(a netip.Addr) Value { return AddrValue(netipx.IPRangeFrom(a, a)) }

// PortValue is a port or a range of ports.
func PortValue(r PortRange) Value { return Value{r.String(), anyFamily, r.From != r.To} }

// NumberValue is a mark or a protocol.
func NumberValue(r Range) Value { return Value{r.String(), anyFamily, r.From != r.To} }

// NameValue is the name of an interface.
func NameValue(name string) Value { return Value{quote(name), anyFamily, false} }

// MACValue is an Ethernet address in the form 00:00:5e:00:53:01.
func MACValue(a string) Value { return Value{a, anyFamily, false} }

// IsAddress reports whether the value is of an address.
func (v Value) IsAddress() bool { return v.family != anyFamily }

// Mixed reports whether there are values of both address families.
func Mixed(values []Value) bool { return !in(ipv4, values...) && !in(ipv6, values...) }

// in reports whether the values can stand together for packets of the family.
func in(f family, values ...Value) bool {
	return !slices.ContainsFunc(values, func(v Value) bool { return v.family != anyFamily && v.family != f })
}

// concat joins values as nft writes them side by side.
func concat(values []Value) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.text
	}
	return strings.Join(texts, " . ")
}

func intervals(values []Value) bool {
	return slices.ContainsFunc(values, func(v Value) bool { return v.interval })
}

// protocol is the one protocol with ports that the rule asks for, or "" where
// it does not: "th" stands for several of them.
func (r *Rule) protocol() string {
	for _, f := range r.Fields {
		switch f := f.(type) {
		case Ports:
			return f.Proto
		case Protocols:
			if !f.Not {
				return "th"
			}
		}
	}
	return ""
}

// checkKeys complains about ports where the rule names no protocol that has them.
func (v *validator) checkKeys(r *Rule, what string, keys ...Key) {
	for _, k := range keys {
		if k.IsPort() && r.protocol() == "" {
			v.errorf(r.Pos, "rule %q: %s looks at the %s of which protocol? Add one, for example tcp = true", r.Name, what, k)
		}
	}
}

// kernelNames are what the kernel calls something that has a half of each
// family, or is one.
func kernelNames(name string, halves bool) []string {
	if !halves {
		return []string{name}
	}
	return []string{name + ipv4.digit(), name + ipv6.digit()}
}
