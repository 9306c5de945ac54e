package ruleset

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Field is one condition of a rule. The implementations are all in this package.
type Field interface {
	// exprs renders the condition for one address family as alternatives of
	// which exactly one can hold for a packet; each becomes a kernel rule.
	// None means that no packet of the family can match.
	exprs(f family) []string
	// split reports whether IPv4 and IPv6 need rules of their own.
	split() bool
}

// family narrows a kernel rule to the packets of one address family.
type family uint8

const (
	anyFamily family = iota
	ipv4
	ipv6
)

// ip is nft's name of the family's header.
func (f family) ip() string {
	if f == ipv6 {
		return "ip6"
	}
	return "ip"
}

// digit ends the kernel name of an address set of the family.
func (f family) digit() string {
	if f == ipv6 {
		return "6"
	}
	return "4"
}

// Dir tells a packet's source from its destination.
type Dir uint8

// The two ends of a packet.
const (
	Src Dir = iota
	Dst
)

func (d Dir) prefix() string { return [...]string{"s", "d"}[d] }

// PortRange is an inclusive range of ports; one port has equal ends.
type PortRange struct{ From, To uint16 }

func (p PortRange) String() string {
	if p.From == p.To {
		return strconv.Itoa(int(p.From))
	}
	return fmt.Sprintf("%d-%d", p.From, p.To)
}

// Ports matches the source or destination port of one transport protocol. Both
// lists empty means any port: the protocol alone. Not negates the ports, never
// the protocol, as in nft.
type Ports struct {
	Proto  string // tcp, udp, sctp, dccp or udplite; th for whichever a Protocols field in front names
	Dir    Dir
	Not    bool
	Ranges []PortRange
	Sets   []*Set
}

func (Ports) split() bool { return false }

func (p Ports) exprs(family) []string {
	if len(p.Ranges) == 0 && len(p.Sets) == 0 {
		return []string{"meta l4proto " + p.Proto}
	}
	key := p.Proto + " " + p.Dir.prefix() + "port"
	values := make([]string, 0, len(p.Sets)+1)
	if len(p.Ranges) > 0 {
		values = append(values, braces(p.Ranges))
	}
	for _, s := range p.Sets {
		values = append(values, "@"+s.Name)
	}
	return alternatives(key, p.Not, values)
}

// Protocols matches the upper-layer protocol by number (IPPROTO_*).
type Protocols struct {
	Not     bool
	Numbers []uint8
}

func (Protocols) split() bool { return false }

func (p Protocols) exprs(family) []string {
	return []string{"meta l4proto " + compare(p.Not, braces(p.Numbers))}
}

// ICMP matches ICMP and ICMPv6 message types by number. Both lists empty means
// any message of either. Not negates the type, never the protocol.
type ICMP struct {
	Not    bool
	V4, V6 []uint8
}

func (i ICMP) any() bool   { return len(i.V4) == 0 && len(i.V6) == 0 }
func (i ICMP) split() bool { return !i.any() }

func (i ICMP) exprs(f family) []string {
	switch {
	case i.any():
		return []string{"meta l4proto { icmp, ipv6-icmp }"}
	case f == ipv6 && len(i.V6) > 0:
		return []string{"icmpv6 type " + compare(i.Not, braces(i.V6))}
	case f == ipv4 && len(i.V4) > 0:
		return []string{"icmp type " + compare(i.Not, braces(i.V4))}
	case i.Not && f == ipv6: // every message of the family is none of the list
		return []string{"meta l4proto ipv6-icmp"}
	case i.Not:
		return []string{"meta l4proto icmp"}
	}
	return nil
}

// ConnState matches the connection tracking state by nft's words: new,
// established, related, invalid, untracked.
type ConnState struct {
	Not    bool
	States []string
}

func (ConnState) split() bool { return false }

// exprs uses a set rather than a bit list: a packet has exactly one state, and
// "!=" on a bit list does not mean "none of these" to nft.
func (c ConnState) exprs(family) []string {
	return []string{"ct state " + compare(c.Not, "{ "+strings.Join(c.States, ", ")+" }")}
}

// Interface matches the name of the input or output interface; a name may end in "*".
type Interface struct {
	Dir   Dir // Src: the packet came in through it; Dst: it goes out through it
	Not   bool
	Names []string
}

func (Interface) split() bool { return false }

func (i Interface) exprs(family) []string {
	key := [...]string{"iifname", "oifname"}[i.Dir]
	var plain, wild []string
	for _, n := range i.Names {
		if strings.HasSuffix(n, "*") {
			wild = append(wild, quote(n))
		} else {
			plain = append(plain, quote(n))
		}
	}
	if len(plain) > 1 {
		plain = []string{"{ " + strings.Join(plain, ", ") + " }"}
	}
	return alternatives(key, i.Not, append(plain, wild...))
}

// TCPFlags matches TCP packets whose flag bits under Mask are exactly Set. The
// bits are those of the TCP header, FIN in bit 0.
type TCPFlags struct {
	Not       bool
	Set, Mask uint8
}

func (TCPFlags) split() bool { return false }

func (t TCPFlags) exprs(family) []string {
	op := "=="
	if t.Not {
		op = "!="
	}
	return []string{fmt.Sprintf("tcp flags & %s %s %s", flagNames(t.Mask), op, flagNames(t.Set))}
}

func flagNames(bits uint8) string {
	var names []string
	for i, n := range [...]string{"fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"} {
		if bits&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return "0x0"
	}
	return "(" + strings.Join(names, "|") + ")"
}

// Rate is so many packets in a unit of time, and so many at once.
type Rate struct {
	Packets uint32
	Unit    string // second, minute, hour or day
	Burst   uint32 // 0 means nft's default of 5
}

func (r Rate) String() string {
	s := fmt.Sprintf("rate %d/%s", r.Packets, r.Unit)
	if r.Burst > 0 {
		s += fmt.Sprintf(" burst %d packets", r.Burst)
	}
	return s
}

// over renders the rate as matching what exceeds it.
func (r Rate) over() string { return strings.Replace(r.String(), "rate ", "rate over ", 1) }

// Limit matches packets while they come at no more than the rate, or, with
// Over, those that exceed it. It counts all packets of the rule together, or,
// with PerSource, those of each source address (of each prefix of Bits4 or
// Bits6 bits, where these are not 0).
//
// A limit counts what reaches it, so it is rendered behind all other conditions.
type Limit struct {
	Rate         Rate
	Over         bool
	PerSource    bool
	Bits4, Bits6 int
}

func (l Limit) split() bool { return l.PerSource }

// exprs is empty: a limit needs an object of its own, which the renderer names.
func (l Limit) exprs(family) []string { return []string{""} }

// sourceTimeout is how long a silent source is remembered by a limit per
// source; after it the source has its full burst again.
const sourceTimeout = time.Minute

// alternatives renders "key is one of values" so that exactly one alternative
// can hold, or, negated, as one conjunction.
func alternatives(key string, not bool, values []string) []string {
	if not {
		parts := make([]string, len(values))
		for i, v := range values {
			parts[i] = key + " != " + v
		}
		return []string{strings.Join(parts, " ")}
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = key + " " + v
		for _, earlier := range values[:i] {
			out[i] += " " + key + " != " + earlier
		}
	}
	return out
}

func compare(not bool, value string) string {
	if not {
		return "!= " + value
	}
	return value
}

// braces renders one value as itself and several as an anonymous set.
func braces[T any](values []T) string {
	if len(values) == 1 {
		return fmt.Sprint(values[0])
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	return "{ " + strings.Join(texts, ", ") + " }"
}

// quote renders a checked name as an nft string.
func quote(s string) string { return `"` + s + `"` }
