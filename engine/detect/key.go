package detect

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"moonlatch/engine/packet"
)

// Key is whose events are counted together.
type Key uint8

// What can be a key.
const (
	Src      Key = iota // the source
	Dst                 // the destination address
	SrcDport            // the source and the destination port
	SrcDst              // the source and the destination address
)

// The prefix lengths of sources. Whoever has one address of an IPv6 /64 has
// them all, so that is what an IPv6 source is unless told otherwise.
const (
	defaultBits4, minBits4, maxBits4 = 32, 8, 32
	defaultBits6, minBits6, maxBits6 = 64, 16, 128
)

// String returns the words that a policy uses.
func (k Key) String() string {
	switch k {
	case Src:
		return `"src"`
	case Dst:
		return `"dst"`
	case SrcDport:
		return `{ "src", "dport" }`
	case SrcDst:
		return `{ "src", "dst" }`
	}
	return fmt.Sprintf("Key(%d)", uint8(k))
}

func (k Key) hasSrc() bool   { return k != Dst }
func (k Key) hasDst() bool   { return k == Dst || k == SrcDst }
func (k Key) hasDport() bool { return k == SrcDport }
func (k Key) pair() bool     { return k == SrcDport || k == SrcDst }

// ParseKey reads a policy's words for a key, such as "src/24" or "src" and
// "dport", in any order. A length up to 32 is that of IPv4 sources and a longer
// one that of IPv6 sources, as in a rule's limit; 0 stands for the default.
func ParseKey(words ...string) (k Key, bits4, bits6 int, err error) {
	var src, dst, dport bool
	for _, w := range words {
		name, length, prefix := strings.Cut(w, "/")
		switch {
		case name == "src" && !src:
			src = true
			if prefix {
				if bits4, bits6, err = parseBits(length); err != nil {
					return 0, 0, 0, fmt.Errorf("%.40q: %w", w, err)
				}
			}
		case w == "dst" && !dst:
			dst = true
		case w == "dport" && !dport:
			dport = true
		default:
			return 0, 0, 0, notKey(words)
		}
	}
	switch struct{ src, dst, dport bool }{src, dst, dport} {
	case struct{ src, dst, dport bool }{src: true}:
		return Src, bits4, bits6, nil
	case struct{ src, dst, dport bool }{dst: true}:
		return Dst, 0, 0, nil
	case struct{ src, dst, dport bool }{src: true, dport: true}:
		return SrcDport, bits4, bits6, nil
	case struct{ src, dst, dport bool }{src: true, dst: true}:
		return SrcDst, bits4, bits6, nil
	}
	return 0, 0, 0, notKey(words)
}

func notKey(words []string) error {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%.40q", w)
	}
	return fmt.Errorf(`%s: must be "src", "dst", { "src", "dport" } or { "src", "dst" }, and "src/24" or "src/48" may stand for "src"`, cmp.Or(strings.Join(quoted, ", "), "{}"))
}

func parseBits(s string) (bits4, bits6 int, err error) {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil || n < minBits4 || n > maxBits6 || strconv.Itoa(n) != s:
		return 0, 0, fmt.Errorf("%.40q is no prefix length from %d to %d for IPv4, or from %d to %d for IPv6", s, minBits4, maxBits4, maxBits4+1, maxBits6)
	case n <= maxBits4:
		return n, 0, nil
	}
	return 0, n, nil
}

// address is an IP address, an IPv4 one in its IPv6-mapped form, as two numbers for
// the sake of hash.
type address struct{ hi, lo uint64 }

func newAddress(a netip.Addr) address {
	if a.Is4() {
		b := a.As4()
		return address{lo: 0xffff<<32 | uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return address{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a address) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b).Unmap()
}

// key is a Key's value. What the Key does not have is zero.
type key struct{ one, two address }

// sources says how much of a source's address tells it from others.
type sources struct{ mask4, mask6 address }

func newSources(bits4, bits6 int) sources {
	return sources{mask4: mask(96 + bits4), mask6: mask(bits6)}
}

// mask has the first n of 128 bits set.
func mask(n int) address {
	if n <= 64 {
		return address{hi: ^uint64(0) << (64 - n)}
	}
	return address{^uint64(0), ^uint64(0) << (128 - n)}
}

func (s *sources) of(a netip.Addr) address {
	m := &s.mask6
	if a.Is4() {
		m = &s.mask4
	}
	out := newAddress(a)
	return address{out.hi & m.hi, out.lo & m.lo}
}

// key returns the key of a packet that has what the Key needs.
func (d *Detector) key(p *packet.Packet) key {
	switch d.spec.Per {
	case Dst:
		return key{one: newAddress(p.Dst)}
	case SrcDst:
		return key{d.sources.of(p.Src), newAddress(p.Dst)}
	case SrcDport:
		return key{d.sources.of(p.Src), address{lo: uint64(p.Dport)}}
	}
	return key{one: d.sources.of(p.Src)}
}
