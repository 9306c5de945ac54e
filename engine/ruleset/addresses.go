package ruleset

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"io"
	"iter"
	"math/bits"
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// Addresses is an immutable set of addresses of both families: ranges in ascending order that neither overlap nor
// touch. Lists of millions are its purpose: a range of IPv4 takes 8 bytes and one of IPv6 32, in a netipx.IPSet 48.
// The zero value is empty.
type Addresses struct {
	v4 []span[uint32]
	v6 []span[uint128]
}

// span is a range with both its ends.
type span[A any] struct{ from, to A }

// uint128 is an IPv6 address as a number, its first half first.
type uint128 [2]uint64

// An AddressesBuilder collects what becomes Addresses. The zero value is ready for use.
type AddressesBuilder struct {
	// Expected is how many ranges a family may have, so that the memory for a long list is not enlarged, and
	// copied, again and again. It may be 0.
	Expected int

	v4 []span[uint32]
	v6 []span[uint128]
}

// Add adds a valid range, whatever was added before it.
func (b *AddressesBuilder) Add(r netipx.IPRange) {
	if r.From().Is4() {
		if b.v4 == nil {
			b.v4 = make([]span[uint32], 0, b.Expected)
		}
		b.v4 = append(b.v4, span[uint32]{number4(r.From()), number4(r.To())})
		return
	}
	if b.v6 == nil {
		b.v6 = make([]span[uint128], 0, b.Expected)
	}
	b.v6 = append(b.v6, span[uint128]{number6(r.From()), number6(r.To())})
}

// Addresses returns what was added. The builder is empty after it.
func (b *AddressesBuilder) Addresses() *Addresses {
	a := &Addresses{
		v4: merge(b.v4, cmp.Compare, func(n uint32) uint32 { return n + 1 }),
		v6: merge(b.v6, uint128.compare, uint128.next),
	}
	*b = AddressesBuilder{}
	return a
}

// merge sorts spans and joins those that overlap or touch, in their own memory. next is 0 after the last address.
func merge[A any](spans []span[A], compare func(x, y A) int, next func(A) A) []span[A] {
	var zero A
	slices.SortFunc(spans, func(x, y span[A]) int { return compare(x.from, y.from) })
	out := spans[:0]
	for _, s := range spans {
		last := len(out) - 1
		if last < 0 {
			out = append(out, s)
			continue
		}
		after := next(out[last].to)
		switch {
		case compare(after, zero) != 0 && compare(s.from, after) > 0:
			out = append(out, s)
		case compare(s.to, out[last].to) > 0:
			out[last].to = s.to
		}
	}
	return out
}

// Ranges yields the ranges in ascending order, IPv4 first.
func (a *Addresses) Ranges() iter.Seq[netipx.IPRange] {
	return func(yield func(netipx.IPRange) bool) {
		for _, s := range a.v4 {
			if !yield(netipx.IPRangeFrom(address4(s.from), address4(s.to))) {
				return
			}
		}
		for _, s := range a.v6 {
			if !yield(netipx.IPRangeFrom(address6(s.from), address6(s.to))) {
				return
			}
		}
	}
}

// Len returns how many ranges there are.
func (a *Addresses) Len() int { return len(a.v4) + len(a.v6) }

// half returns the addresses of one family.
func (a *Addresses) half(f family) *Addresses {
	if f == ipv4 {
		return &Addresses{v4: a.v4}
	}
	return &Addresses{v6: a.v6}
}

// singles returns how many addresses there are, and whether the kernel should hold them one by one, in a hash instead of a
// tree of intervals, which takes a tenth of the time to fill and less to search. In a long list of addresses some
// are neighbours by chance and have merged into ranges: they are worth taking apart again.
func (a *Addresses) singles() (n uint64, ok bool) {
	limit := uint64(a.Len())
	if a.Len() > textSize { // and so never in the text, which would take ranges
		limit *= 2
	}
	for _, s := range a.v4 {
		n += uint64(s.to-s.from) + 1
	}
	for _, s := range a.v6 {
		if s.from[0] != s.to[0] || n > limit {
			return 0, false
		}
		n += min(s.to[1]-s.from[1], limit) + 1
	}
	return n, n <= limit
}

// Prefixes yields the addresses as a kernel set holds them: one by one where they are singles, else as prefixes.
func (a *Addresses) Prefixes() iter.Seq[netip.Prefix] {
	if _, single := a.singles(); single {
		return a.each
	}
	return func(yield func(netip.Prefix) bool) {
		var parts []netip.Prefix
		for r := range a.Ranges() {
			parts = r.AppendPrefixes(parts[:0])
			for _, p := range parts {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// each yields every single address.
func (a *Addresses) each(yield func(netip.Prefix) bool) {
	for _, s := range a.v4 {
		for n := uint64(s.from); n <= uint64(s.to); n++ {
			if !yield(netip.PrefixFrom(address4(uint32(n)), 32)) {
				return
			}
		}
	}
	for _, s := range a.v6 {
		for n := s.from; ; n = n.next() {
			if !yield(netip.PrefixFrom(address6(n), 128)) {
				return
			}
			if n == s.to {
				break
			}
		}
	}
}

// AddTo adds the addresses to a set of another kind.
func (a *Addresses) AddTo(b *netipx.IPSetBuilder) {
	for r := range a.Ranges() {
		b.AddRange(r)
	}
}

// digest writes what identifies the addresses.
func (a *Addresses) digest(w io.Writer) {
	b := bufio.NewWriter(w)
	for _, s := range a.v4 {
		both := binary.BigEndian.AppendUint32(b.AvailableBuffer(), s.from)
		b.Write(binary.BigEndian.AppendUint32(both, s.to))
	}
	for _, s := range a.v6 {
		both := b.AvailableBuffer()
		for _, n := range []uint64{s.from[0], s.from[1], s.to[0], s.to[1]} {
			both = binary.BigEndian.AppendUint64(both, n)
		}
		b.Write(both)
	}
	b.Flush()
}

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func address4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

func number6(a netip.Addr) uint128 {
	b := a.As16()
	return uint128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func address6(n uint128) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], n[0])
	binary.BigEndian.PutUint64(b[8:], n[1])
	return netip.AddrFrom16(b)
}

func (n uint128) compare(m uint128) int {
	return cmp.Or(cmp.Compare(n[0], m[0]), cmp.Compare(n[1], m[1]))
}

func (n uint128) next() uint128 {
	low, carry := bits.Add64(n[1], 1, 0)
	return uint128{n[0] + carry, low}
}
