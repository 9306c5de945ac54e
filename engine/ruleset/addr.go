package ruleset

import (
	"iter"
	"time"

	"go4.org/netipx"
)

// Set is a named set of addresses of both families, or of ports. In the kernel
// an address set is two sets, named with a 4 and a 6 behind the author's name.
type Set struct {
	Name  string
	Addrs *Addresses  // of an address set
	Ports []PortRange // of a port set
	Pos   Pos

	// Feed marks a set of addresses that is filled with a list that others publish. Addrs, the list at hand, does not
	// count for the digest.
	Feed bool

	// Of a set of addresses that packets fill:
	Dynamic bool
	Timeout time.Duration // how long an address stays that Add gives no time; 0 means for good
	Size    int           // the most addresses of each family; 0 means nft's default
	Keep    bool          // takes over what the set of that name holds in the generation before
}

// Changes reports whether what the set holds in the kernel is not, or not for long, what it holds here.
func (s *Set) Changes() bool { return s.Dynamic || s.Feed }

// FeedComment is the kernel set's comment by which a feed is told.
const FeedComment = "feed"

func (s *Set) size() int {
	if s.Size > 0 {
		return s.Size
	}
	return dynamicSize
}

func (s *Set) timeout() string {
	if s.Timeout == 0 {
		return ""
	}
	return " timeout " + milliseconds(s.Timeout) + ";"
}

// IsPorts reports whether it is a set of ports.
func (s *Set) IsPorts() bool { return s.Addrs == nil }

// Addr matches a packet's source or destination address. Addrs may be nil.
type Addr struct {
	Dir   Dir
	Not   bool
	Addrs *netipx.IPSet
	Sets  []*Set
}

func (Addr) split() bool { return true }

// exprs leaves a negated list that holds nothing of the family out: every
// packet of that family is outside the list.
func (a Addr) exprs(f family) []string {
	key := f.ip() + " " + a.Dir.prefix() + "addr"
	var values []string
	if ranges := familyRanges(a.Addrs, f); len(ranges) > 0 {
		values = append(values, braces(ranges))
	}
	for _, s := range a.Sets {
		values = append(values, "@"+s.Name+f.digit())
	}
	if len(values) == 0 {
		if a.Not {
			return []string{""}
		}
		return nil
	}
	return alternatives(key, a.Not, values)
}

// familyRanges renders the set's content of one family: addresses, prefixes
// where they are exact, else ranges.
func familyRanges(set *netipx.IPSet, f family) []string {
	if set == nil {
		return nil
	}
	return rangeTexts(func(yield func(netipx.IPRange) bool) {
		for _, r := range set.Ranges() {
			if r.From().Is4() == (f == ipv4) && !yield(r) {
				return
			}
		}
	})
}

func rangeTexts(ranges iter.Seq[netipx.IPRange]) []string {
	var out []string
	for r := range ranges {
		out = append(out, rangeText(r))
	}
	return out
}

func rangeText(r netipx.IPRange) string {
	if r.From() == r.To() {
		return r.From().String()
	}
	if p, ok := r.Prefix(); ok {
		return p.String()
	}
	return r.From().String() + "-" + r.To().String()
}
