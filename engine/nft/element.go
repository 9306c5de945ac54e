package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// An Element is an address or prefix in a set.
type Element struct {
	// Prefix is a host (/32 or /128) in a hash set, and any prefix in an interval set. Its family must be the set's.
	Prefix netip.Prefix
	// Timeout is the element's life from when it is added, 0 for an element that stays. The kernel rounds it down to
	// timer ticks of 1 to 10 milliseconds; what is shorter than 10 milliseconds becomes 10.
	Timeout time.Duration
	// Expires is what is left of it when it is read, 0 for an element that stays. One that is added with less than its
	// timeout left is, to who reads it, that much older.
	Expires time.Duration
	// Comment is at most 128 bytes that nft can list; see [Comment].
	Comment string
}

// maxComment is how long a comment may be (libnftnl/udata.h: NFTNL_UDATA_COMMENT_MAXLEN).
const maxComment = 128

// libnftnl/udata.h: what an element's user data holds.
const (
	udataComment      = 0 // NFTNL_UDATA_SET_ELEM_COMMENT
	udataFlags        = 1 // NFTNL_UDATA_SET_ELEM_FLAGS
	udataIntervalOpen = 1 // NFTNL_SET_ELEM_F_INTERVAL_OPEN: the interval ends with the last address
)

// Comment makes any text fit for an element's comment: nft has no way to write a double quote inside of one, so
// it becomes a single one; control characters become spaces; what is longer than 128 bytes is cut.
func Comment(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < ' ' || r == 0x7f:
			return ' '
		}
		return r // and the replacement character for bytes that are not UTF-8
	}, text)
	if len(text) <= maxComment {
		return text
	}
	end := maxComment
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

func checkComment(comment string) error {
	if len(comment) > maxComment {
		return fmt.Errorf("comment is %d bytes long: want at most %d", len(comment), maxComment)
	}
	for _, c := range []byte(comment) {
		if c < ' ' || c == 0x7f || c == '"' {
			return fmt.Errorf("comment %q holds a character that nft cannot list", comment)
		}
	}
	return nil
}

// Elements lists a set of addresses in ascending order. A range that is no prefix comes as the prefixes it consists of.
// ErrNotExist means that there is no such table or set.
//
// ErrInterrupted means that the set was in motion while the kernel listed it, because transactions kept coming, or because the
// kernel is still enlarging a hash set that got many elements. The elements are returned nevertheless, but some may be
// missing. The kernel does not tell if a listing misses one because others, that have expired, are cleaned up meanwhile.
//
// The time grows with the square of the size of a hash set, as the kernel starts over for every 800 elements: 100,000 take about
// half a second, 1,000,000 a minute. To count them, see [Client.SetInfo].
func (c *Client) Elements(t Table, set string) ([]Element, error) {
	fail := func(err error) error { return fmt.Errorf("list elements of set %s in table %s: %w", set, t, err) }
	info, err := c.read.setInfo(t, set)
	if err != nil {
		return nil, fail(err)
	}
	if _, err := info.addrLen(); err != nil {
		return nil, fail(err)
	}
	bounds, listErr := c.bounds(t, set, info)
	if listErr != nil && !errors.Is(listErr, ErrInterrupted) {
		return nil, fail(listErr)
	}
	elements, err := join(bounds, info)
	if err != nil {
		return nil, fail(err)
	}
	if listErr != nil {
		return elements, fail(listErr)
	}
	return elements, nil
}

// bounds lists a set as the kernel holds it, sorted. The result is returned with ErrInterrupted, too.
func (c *Client) bounds(t Table, set string, info SetInfo) ([]bound, error) {
	var all []bound
	pause := 10 * time.Millisecond
	err := c.steady(func() error {
		all = slices.Grow(all[:0], max(info.Count, 0))
		err := c.read.elements(t, set, func(b []byte) error {
			bound, err := decodeBound(b, info)
			if err == nil {
				all = append(all, bound)
			}
			return err
		})
		slices.SortFunc(all, bound.compare)
		listed := len(all)
		all = slices.CompactFunc(all, func(a, b bound) bool { return a.compare(b) == 0 })
		if err == nil && len(all) < listed {
			// The kernel lists a hash set by position. If it is enlarging the set in the background, elements change
			// places: for each that came twice, another one did not come.
			pause *= 2
			time.Sleep(pause)
			return ErrInterrupted
		}
		return err
	})
	return all, err
}

// elements lists a set and hands the data of each element to each.
func (c *conn) elements(t Table, set string, each func([]byte) error) error {
	return c.query(unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, t.Family, func(w *writer) {
		w.string(unix.NFTA_SET_ELEM_LIST_TABLE, t.Name)
		w.string(unix.NFTA_SET_ELEM_LIST_SET, set)
	}, func(a answer) error { return eachElement(a, each) })
}

// Element returns the element of a set of addresses that holds the whole of p, without listing the set. In an interval
// set it may be a wider one. ErrNotExist means that there is no such table or set; no such element is no error.
func (c *Client) Element(t Table, set string, p netip.Prefix) (e Element, ok bool, err error) {
	fail := func(err error) (Element, bool, error) {
		return Element{}, false, fmt.Errorf("get %s from set %s in table %s: %w", p, set, t, err)
	}
	info, err := c.read.setInfo(t, set)
	if err != nil {
		return fail(err)
	}
	first, last, err := limits(p, info)
	if err != nil {
		return fail(err)
	}
	if info.Interval {
		err = c.steady(func() error {
			e, ok, err = c.covering(t, set, info, first, last)
			return err
		})
	} else {
		var host bound
		host, ok, err = c.bound(t, set, info, first, false)
		e = host.element(p)
	}
	if err != nil {
		return fail(err)
	}
	if !ok {
		return Element{}, false, nil
	}
	return e, true, nil
}

// A Key is an element's key as it stands in the kernel's memory, for sets of anything.
type Key string

// The keys of a set that has `typeof meta nfproto` (linux/netfilter.h: NFPROTO_IPV4, NFPROTO_IPV6).
const (
	KeyIPv4 Key = "\x02"
	KeyIPv6 Key = "\x0a"
)

// Expiries lists how long each element of a set has left, 0 for those that stay, whatever the keys mean.
// An expired element is not in it. ErrNotExist means that there is no such table or set.
func (c *Client) Expiries(t Table, set string) (map[Key]time.Duration, error) {
	var expiries map[Key]time.Duration
	err := c.steady(func() error {
		expiries = make(map[Key]time.Duration)
		return c.read.elements(t, set, func(b []byte) error {
			raw, err := decodeElement(b)
			if err == nil {
				expiries[Key(raw.key)] = raw.expires
			}
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list expiries of set %s in table %s: %w", set, t, err)
	}
	return expiries, nil
}
