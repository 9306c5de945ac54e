package nft

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"go4.org/netipx"
	"golang.org/x/sys/unix"
)

// A bound is an element of a set of addresses as the kernel holds it. In a hash set that is a host. An interval set
// has two for each prefix: the first address in it, with all that is known about the prefix, and the first one
// after it, marked as an end; a prefix that reaches to the last address of the family has no end.
type bound struct {
	addr    netip.Addr
	end     bool
	timeout time.Duration
	expires time.Duration
	comment string
}

// compare orders bounds by address. Where one prefix ends and the next one starts, the end comes first.
func (b bound) compare(other bound) int {
	if c := b.addr.Compare(other.addr); c != 0 {
		return c
	}
	return cmp.Compare(order(b.end), order(other.end))
}

func order(end bool) int {
	if end {
		return 0
	}
	return 1
}

func (b bound) element(p netip.Prefix) Element {
	return Element{Prefix: p, Timeout: b.timeout, Expires: b.expires, Comment: b.comment}
}

// join makes elements of a set's bounds, which are sorted and differ. An end without a start is nft's mark for the empty space before the
// first interval.
func join(bounds []bound, info SetInfo) ([]Element, error) {
	elements := make([]Element, 0, len(bounds))
	for i, b := range bounds {
		switch {
		case b.end && !info.Interval:
			return nil, errMalformed
		case b.end:
		case !info.Interval:
			elements = append(elements, b.element(netip.PrefixFrom(b.addr, b.addr.BitLen())))
		case i+1 < len(bounds):
			elements = b.split(elements, bounds[i+1].addr.Prev())
		default:
			elements = b.split(elements, netipx.PrefixLastIP(netip.PrefixFrom(b.addr, 0)))
		}
	}
	return elements, nil
}

// split appends the prefixes that the range from b to last consists of.
func (b bound) split(elements []Element, last netip.Addr) []Element {
	addrs := netipx.IPRangeFrom(b.addr, last)
	if p, ok := addrs.Prefix(); ok {
		return append(elements, b.element(p))
	}
	for _, p := range addrs.Prefixes() {
		elements = append(elements, b.element(p))
	}
	return elements
}

// limits returns the first address of p and the last, if p fits the set.
func limits(p netip.Prefix, info SetInfo) (first, last netip.Addr, err error) {
	size, err := info.addrLen()
	switch {
	case err != nil:
		return first, last, err
	case !p.IsValid():
		return first, last, errors.New("invalid prefix")
	case p.Addr().BitLen() != 8*size:
		return first, last, fmt.Errorf("%s: the set holds addresses of %d bits", p, 8*size)
	case !info.Interval && !p.IsSingleIP():
		return first, last, fmt.Errorf("%s: the set holds single addresses only", p)
	}
	p = p.Masked()
	return p.Addr(), netipx.PrefixLastIP(p), nil
}

// covering returns the element of an interval set that holds all addresses from first to last.
func (c *Client) covering(t Table, set string, info SetInfo, first, last netip.Addr) (Element, bool, error) {
	start, ok, err := c.bound(t, set, info, first, false)
	if err != nil || !ok {
		return Element{}, false, err
	}
	if first != last {
		other, ok, err := c.bound(t, set, info, last, false)
		if err != nil || !ok || other.addr != start.addr {
			return Element{}, false, err
		}
	}
	bounds := []bound{start}
	if after := last.Next(); after.IsValid() {
		end, ok, err := c.ending(t, set, info, after)
		if err != nil {
			return Element{}, false, err
		}
		if ok {
			bounds = append(bounds, end)
		}
	}
	elements, err := join(bounds, info)
	if err != nil {
		return Element{}, false, err
	}
	for _, e := range elements {
		if e.Prefix.Contains(first) && e.Prefix.Contains(last) {
			return e, true, nil
		}
	}
	return Element{}, false, nil
}

// ending returns the first bound from addr on that ends the interval before. Where one interval ends and the next one starts,
// the kernel may overlook the end that it is asked for and find a later one, so the start is asked for first.
func (c *Client) ending(t Table, set string, info SetInfo, addr netip.Addr) (bound, bool, error) {
	next, ok, err := c.bound(t, set, info, addr, false)
	if err != nil || ok && next.addr == addr {
		return next, ok, err
	}
	return c.bound(t, set, info, addr, true)
}

// bound gets one bound: that of an address in a hash set, and in an interval set the start or the end of the interval
// around it.
func (c *Client) bound(t Table, set string, info SetInfo, addr netip.Addr, end bool) (b bound, ok bool, err error) {
	err = c.read.query(unix.NFT_MSG_GETSETELEM, 0, t.Family, func(w *writer) {
		w.string(unix.NFTA_SET_ELEM_LIST_TABLE, t.Name)
		w.string(unix.NFTA_SET_ELEM_LIST_SET, set)
		list := w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		w.bound(addr, end)
		w.endNest(list)
	}, func(a answer) error {
		return eachElement(a, func(data []byte) (err error) {
			b, err = decodeBound(data, info)
			ok = err == nil
			return err
		})
	})
	if errors.Is(err, unix.ENOENT) {
		return bound{}, false, nil // the set exists, or there would be no info
	}
	return b, ok, err
}

// A rawElement is an element as it comes from the kernel. Its bytes lie in the message.
type rawElement struct {
	key        []byte
	end        bool
	timeout    time.Duration
	hasTimeout bool
	expires    time.Duration
	userdata   []byte
}

// eachElement calls each for every element in a message.
func eachElement(a answer, each func([]byte) error) error {
	r := reader{b: a.attrs}
	for r.next() {
		if r.typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			continue
		}
		list := reader{b: r.data}
		for list.next() {
			if err := each(list.data); err != nil {
				return err
			}
		}
		if list.err != nil {
			return list.err
		}
	}
	return r.err
}

func decodeElement(b []byte) (rawElement, error) {
	var e rawElement
	r := reader{b: b}
	for r.next() {
		switch r.typ {
		case unix.NFTA_SET_ELEM_KEY:
			key := reader{b: r.data}
			for key.next() {
				if key.typ == unix.NFTA_DATA_VALUE {
					e.key = key.data
				}
			}
			if key.err != nil {
				return e, key.err
			}
		case unix.NFTA_SET_ELEM_FLAGS:
			e.end = r.uint32()&unix.NFT_SET_ELEM_INTERVAL_END != 0
		case unix.NFTA_SET_ELEM_TIMEOUT:
			e.timeout, e.hasTimeout = milliseconds(r.uint64()), true
		case unix.NFTA_SET_ELEM_EXPIRATION:
			e.expires = max(milliseconds(r.uint64()), time.Millisecond) // 0 would mean that it stays
		case unix.NFTA_SET_ELEM_USERDATA:
			e.userdata = r.data
		}
	}
	return e, r.err
}

func decodeBound(b []byte, info SetInfo) (bound, error) {
	raw, err := decodeElement(b)
	if err != nil {
		return bound{}, err
	}
	addr, ok := netip.AddrFromSlice(raw.key)
	if !ok || len(raw.key) != int(info.keyLen) {
		return bound{}, errMalformed
	}
	comment, _ := userdata(raw.userdata, udataComment)
	out := bound{addr: addr, end: raw.end, timeout: raw.timeout, expires: raw.expires, comment: text(comment)}
	if !raw.hasTimeout && raw.expires > 0 {
		out.timeout = info.Timeout // the kernel leaves out what is the set's own
	}
	return out, nil
}
