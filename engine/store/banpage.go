package store

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"time"
)

// A page is some dozens of bans in one blob, in ascending order, each of them:
//
//	kind   1 byte: the length of an IPv4 prefix, or ipv6 and that of an IPv6 one
//	addr   4 or 16 bytes
//	flags  1 byte
//	since  a varint, in milliseconds since 1970
//	until  likewise, less since; only where flags say that it ends
//	origin, by, why: each the number of a word of this page, or 0, its length and the word itself, which
//	gets the next number then, from 1 on; uvarints
//
// A million bans with a row for each take a second to read; in pages they take a tenth of that.

const (
	// pageLimit is the size of a page that is cut in several: with what is around it, it still fits in one of SQLite's.
	pageLimit = 4000
	// pageFill is the size of what it is cut in: so that there is room for more.
	pageFill = pageLimit * 3 / 4
	// pageLeast is the size of a page that is joined with the next one.
	pageLeast = pageLimit / 4
)

const (
	ipv6 = 64 // what is added to the length of an IPv6 prefix

	flagTrial = 1
	flagEnds  = 2
)

// banTarget is the prefix under which a ban is kept, if there is such a one.
func banTarget(p netip.Prefix) (netip.Prefix, bool) {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	p = p.Masked()
	return p, p.IsValid()
}

// compareTargets orders bans: IPv4 before IPv6, short prefixes before long ones, then by address. So do the bytes of their keys.
func compareTargets(p, q netip.Prefix) int {
	return cmp.Or(cmp.Compare(p.Addr().BitLen(), q.Addr().BitLen()), cmp.Compare(p.Bits(), q.Bits()), p.Addr().Compare(q.Addr()))
}

// appendKey appends what a ban begins with.
func appendKey(b []byte, p netip.Prefix) []byte {
	if a := p.Addr(); a.Is4() {
		addr := a.As4()
		return append(append(b, byte(p.Bits())), addr[:]...)
	}
	addr := p.Addr().As16()
	return append(append(b, byte(ipv6+p.Bits())), addr[:]...)
}

// pageWriter makes a page of bans, which come in ascending order.
type pageWriter struct {
	b     []byte
	words map[string]int
	ends  int64 // when the first of them ends, in milliseconds since 1970; endless if none does
}

const endless = math.MaxInt64

func (w *pageWriter) reset() {
	w.b, w.ends = w.b[:0], endless
	if w.words == nil {
		w.words = make(map[string]int)
	}
	clear(w.words)
}

func (w *pageWriter) add(x *Ban) {
	w.b = appendKey(w.b, x.Target)
	flags, since := byte(0), x.Since.UnixMilli()
	if x.Trial {
		flags |= flagTrial
	}
	if !x.Until.IsZero() {
		flags |= flagEnds
	}
	w.b = binary.AppendVarint(append(w.b, flags), since)
	if !x.Until.IsZero() {
		until := x.Until.UnixMilli()
		w.b = binary.AppendVarint(w.b, until-since)
		w.ends = min(w.ends, until)
	}
	w.word(x.Origin)
	w.word(x.By)
	w.word(x.Why)
}

// mostBytes is how many bytes a ban takes in a page at most.
func (b *Ban) mostBytes() int {
	const key, flags, times, lengths = 17, 1, 2 * binary.MaxVarintLen64, 3 * 2 * 4
	return key + flags + times + lengths + len(b.Origin) + len(b.By) + len(b.Why)
}

func (w *pageWriter) word(s string) {
	n, known := w.words[s]
	w.b = binary.AppendUvarint(w.b, uint64(n))
	if !known {
		w.b = binary.AppendUvarint(w.b, uint64(len(s)))
		w.b = append(w.b, s...)
		w.words[s] = len(w.words) + 1
	}
}

// pageReader reads pages. Its words last from one to the next, for all bans to share those that they have in common.
type pageReader struct {
	b     []byte
	words []string
	bad   bool
	last  netip.Prefix
}

// start begins a page.
func (r *pageReader) start(page []byte) {
	r.b, r.words, r.bad, r.last = page, r.words[:0], false, netip.Prefix{}
}

// next reads the next ban. It reports false at the end of the page, and where err tells of something that is no ban.
func (r *pageReader) next(x *Ban) bool {
	if len(r.b) == 0 || r.bad {
		return false
	}
	x.Target = r.target()
	flags := r.byte()
	since := r.varint()
	x.Since, x.Until, x.Trial = timeOf(since), time.Time{}, flags&flagTrial != 0
	if flags&flagEnds != 0 {
		until := since + r.varint()
		x.Until = timeOf(until)
		r.bad = r.bad || x.Until.IsZero() || until < firstMilli || until > lastMilli
	}
	r.bad = r.bad || since < firstMilli || since > lastMilli
	x.Origin, x.By, x.Why = r.word(), r.word(), r.word()
	if flags > flagTrial|flagEnds || r.last.IsValid() && compareTargets(r.last, x.Target) >= 0 {
		r.bad = true
	}
	r.last = x.Target
	return !r.bad
}

func (r *pageReader) err() error {
	if r.bad {
		return fmt.Errorf("%w: bans after that of %v, with %d bytes to come", errBadRow, r.last, len(r.b))
	}
	return nil
}

func (r *pageReader) target() netip.Prefix {
	kind, size := r.byte(), 4
	if kind >= ipv6 {
		kind, size = kind-ipv6, 16
	}
	a, _ := netip.AddrFromSlice(r.take(size))
	p := netip.PrefixFrom(a, int(kind))
	if !p.IsValid() || a.Is4In6() && kind >= 96 || p != p.Masked() {
		r.bad = true
	}
	return p
}

// take returns the next n bytes, or nil if there are not so many.
func (r *pageReader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *pageReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *pageReader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.take(r.checked(n))
	return v
}

func (r *pageReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.take(r.checked(n))
	return v
}

// checked is the size of a number, which is not positive if it does not end.
func (r *pageReader) checked(n int) int {
	if n <= 0 {
		r.bad = true
	}
	return max(n, 0)
}

func (r *pageReader) word() string {
	n := r.uvarint()
	switch {
	case n == 0:
		b := r.take(int(min(r.uvarint(), math.MaxInt32)))
		r.words = append(r.words, r.share(b))
		n = uint64(len(r.words))
	case n > uint64(len(r.words)):
		r.bad = true
		return ""
	}
	return r.words[n-1]
}

// share returns b, as the string that stood in its place in the last page if it is the same.
func (r *pageReader) share(b []byte) string {
	if i := len(r.words); i < cap(r.words) {
		if s := r.words[:i+1][i]; s == string(b) {
			return s
		}
	}
	return string(b)
}
