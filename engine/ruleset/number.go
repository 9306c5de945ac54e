package ruleset

import (
	"fmt"
	"math"
	"strings"
)

// Quantity is a number that the kernel knows of a packet, in nft's words.
type Quantity string

// The quantities, with what their greatest values are. TTL and DSCP stand in
// both IP headers; for IPv6, nft calls the first hoplimit.
const (
	Mark        Quantity = "meta mark"
	UID         Quantity = "meta skuid"
	GID         Quantity = "meta skgid"
	Length      Quantity = "meta length"
	NetClass    Quantity = "meta cgroup" // the class id of the net_cls controller
	TTL         Quantity = "ttl"
	DSCP        Quantity = "dscp"
	ConnMark    Quantity = "ct mark"
	ConnZone    Quantity = "ct zone"
	ConnBytes   Quantity = "ct bytes"
	ConnPackets Quantity = "ct packets"
)

// Max is the greatest value of the quantity.
func (q Quantity) Max() uint64 {
	switch q {
	case TTL:
		return math.MaxUint8
	case DSCP:
		return 1<<6 - 1
	case Length, ConnZone:
		return math.MaxUint16
	case ConnBytes, ConnPackets:
		return math.MaxUint64
	}
	return math.MaxUint32
}

func (q Quantity) inHeader() bool { return q == TTL || q == DSCP }

func (q Quantity) selector(f family) string {
	switch {
	case q == TTL && f == ipv6:
		return "ip6 hoplimit"
	case q.inHeader():
		return f.ip() + " " + string(q)
	}
	return string(q)
}

// Range is an inclusive range of numbers; one number has equal ends.
type Range struct{ From, To uint64 }

func (r Range) String() string {
	if r.From == r.To {
		return fmt.Sprint(r.From)
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}

// Number matches a quantity that is in one of the ranges, of which there is at
// least one; none of them overlap.
type Number struct {
	Of     Quantity
	Not    bool
	Ranges []Range
}

func (n Number) split() bool { return n.Of.inHeader() }

func (n Number) exprs(f family) []string {
	key := n.Of.selector(f)
	if len(n.Ranges) > 1 {
		return []string{key + " " + compare(n.Not, braces(n.Ranges))}
	}
	r := n.Ranges[0]
	switch {
	case r.From == r.To, r.From > 0 && r.To < n.Of.Max():
		return []string{key + " " + compare(n.Not, r.String())}
	case r.From > 0:
		return []string{fmt.Sprintf("%s %s %d", key, pick(n.Not, "<", ">="), r.From)}
	}
	return []string{fmt.Sprintf("%s %s %d", key, pick(n.Not, ">", "<="), r.To)}
}

// Masked matches a quantity some of whose bits have a value.
type Masked struct {
	Of          Quantity // Mark or ConnMark
	Not         bool
	Value, Mask uint32
}

func (Masked) split() bool { return false }

func (m Masked) exprs(family) []string {
	return []string{fmt.Sprintf("%s & 0x%x %s 0x%x", m.Of, m.Mask, pick(m.Not, "!=", "=="), m.Value)}
}

// Words matches something that nft names by words: one of them must hold.
type Words struct {
	Of     string // nft's selector: "meta pkttype", "ct direction", "ct helper"
	Not    bool
	Values []string
}

func (Words) split() bool { return false }

func (w Words) exprs(family) []string {
	return []string{w.Of + " " + compare(w.Not, braces(w.Values))}
}

// ConnStatus matches a connection that has any of the states of nft's "ct
// status", which can hold together; with Not, one that has none of them.
type ConnStatus struct {
	Not    bool
	States []string
}

func (ConnStatus) split() bool { return false }

func (c ConnStatus) exprs(family) []string {
	return []string{fmt.Sprintf("ct status & (%s) %s 0", strings.Join(c.States, "|"), pick(c.Not, "==", "!="))}
}

// MAC matches the Ethernet source address, each in the form 00:00:5e:00:53:01.
type MAC struct {
	Not   bool
	Addrs []string
}

func (MAC) split() bool { return false }

func (m MAC) exprs(family) []string {
	return []string{"ether saddr " + compare(m.Not, braces(m.Addrs))}
}

// FIB matches what the routing tables say of a packet.
type FIB struct {
	Not    bool
	Keys   []string // what is looked up: saddr, daddr, mark, iif, oif
	Result string   // what is asked: oif, oifname, type
	Values []string
}

func (FIB) split() bool { return false }

func (b FIB) exprs(family) []string {
	return []string{"fib " + strings.Join(b.Keys, " . ") + " " + b.Result + " " + compare(b.Not, braces(b.Values))}
}

// ControlGroup matches packets of sockets whose process is in a control group
// (version 2) or below it. The group must exist when the ruleset is loaded.
type ControlGroup struct {
	Not  bool
	Path string // below the root of the hierarchy, without a slash in front
}

func (ControlGroup) split() bool { return false }

func (c ControlGroup) exprs(family) []string {
	level := strings.Count(c.Path, "/") + 1
	return []string{fmt.Sprintf("socket cgroupv2 level %d %s", level, compare(c.Not, quote(c.Path)))}
}

// All is several conditions at once.
type All []Field

func (a All) split() bool {
	for _, f := range a {
		if f.split() {
			return true
		}
	}
	return false
}

func (a All) exprs(f family) []string {
	out := []string{""}
	for _, field := range a {
		out = product(out, field.exprs(f))
	}
	return out
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}
