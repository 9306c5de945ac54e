package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// An expr is one expression of a rule: what the kernel executes.
type expr struct {
	name string
	data []byte
}

// expressions returns the expressions of a rule.
func (r *record) expressions() []expr {
	out := make([]expr, 0, 8) // most rules have fewer
	for in := (reader{b: r.attrs}); in.next(); {
		if in.typ != unix.NFTA_RULE_EXPRESSIONS {
			continue
		}
		for list := (reader{b: in.data}); list.next(); {
			var e expr
			for r := (reader{b: list.data}); r.next(); {
				switch r.typ {
				case unix.NFTA_EXPR_NAME:
					e.name = r.string()
				case unix.NFTA_EXPR_DATA:
					e.data = r.data
				}
			}
			out = append(out, e)
		}
	}
	return out
}

// attr returns the data of an attribute along a path of nested ones, nil if there is none.
func attr(b []byte, path ...uint16) []byte {
	for r := (reader{b: b}); r.next(); {
		if r.typ != path[0] {
			continue
		}
		if len(path) == 1 {
			return r.data
		}
		return attr(r.data, path[1:]...)
	}
	return nil
}

// number returns a big endian number of four bytes, 0 if there is none.
func number(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// target returns the chain that the expression jumps to, "" if it does not.
func (e expr) target() string {
	if e.name != "immediate" {
		return ""
	}
	return text(attr(e.data, unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VERDICT, unix.NFTA_VERDICT_CHAIN))
}

// set returns the set that the expression looks something up in, "" if it does not.
func (e expr) set() string {
	switch e.name {
	case "lookup":
		return text(attr(e.data, unix.NFTA_LOOKUP_SET))
	case "dynset":
		return text(attr(e.data, unix.NFTA_DYNSET_SET_NAME))
	case "objref":
		return text(attr(e.data, unix.NFTA_OBJREF_SET_NAME))
	}
	return ""
}

// The expressions of iptables-nft that carry an extension of iptables.
const (
	exprMatch  = "match"
	exprTarget = "target"
)

// compat returns the protocol that iptables-nft's rule is about. Extensions of iptables insist to be told, and the kernel does
// not list what they were told: it stands in the rule as the comparison that the extensions rely on.
func (r *record) compat() (proto uint32, not, ok bool) {
	loaded := map[uint32]bool{} // by register: it holds the protocol
	for _, e := range r.expressions() {
		switch e.name {
		case "meta", "payload":
			dreg := number(attr(e.data, 1)) // NFTA_META_DREG, NFTA_PAYLOAD_DREG
			loaded[dreg] = e.loadsProtocol(r.table.Family)
		case "cmp":
			if loaded[number(attr(e.data, unix.NFTA_CMP_SREG))] && !ok {
				proto, ok = protocol(attr(e.data, unix.NFTA_CMP_DATA, unix.NFTA_DATA_VALUE))
				not = number(attr(e.data, unix.NFTA_CMP_OP)) == unix.NFT_CMP_NEQ
			}
		}
	}
	return proto, not, ok
}

// loadsProtocol reports whether an expression loads what iptables, or ebtables for bridges, calls the protocol of a packet.
func (e expr) loadsProtocol(f Family) bool {
	if e.name == "meta" {
		key := number(attr(e.data, unix.NFTA_META_KEY))
		if f == Bridge {
			return key == unix.NFT_META_PROTOCOL
		}
		return key == unix.NFT_META_L4PROTO
	}
	base, offset := number(attr(e.data, unix.NFTA_PAYLOAD_BASE)), number(attr(e.data, unix.NFTA_PAYLOAD_OFFSET))
	switch f {
	case IPv4:
		return base == unix.NFT_PAYLOAD_NETWORK_HEADER && offset == 9 // linux/ip.h: struct iphdr, protocol
	case IPv6:
		return base == unix.NFT_PAYLOAD_NETWORK_HEADER && offset == 6 // linux/ipv6.h: struct ipv6hdr, nexthdr
	case Bridge:
		return base == unix.NFT_PAYLOAD_LL_HEADER && offset == 12 // linux/if_ether.h: struct ethhdr, h_proto
	}
	return false
}

// protocol returns the number as the kernel's nft_compat.c takes it: a bridge's in the byte order of the packet.
func protocol(b []byte) (uint32, bool) {
	switch len(b) {
	case 1:
		return uint32(b[0]), true
	case 2:
		return uint32(binary.NativeEndian.Uint16(b)), true
	}
	return 0, false
}
