package ban

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"time"

	"go4.org/netipx"
)

// prefixBan is a ban that lies in a set of prefixes.
type prefixBan struct {
	target
	note
	until time.Duration // on the book's clock
	// parts is what the kernel holds of it: all of it, what longer bans leave of it, or nothing.
	parts []netip.Prefix
}

// prefixBans are the bans in the sets of prefixes, those without parts included.
type prefixBans map[target]*prefixBan

// relatedToAny returns the bans that share addresses with any of the targets, and with each the bans that share addresses
// with it. Of two prefixes that overlap, one is a shortening of the other, so looking those up takes time for the bans
// that there are, not for each pair of them.
func (bans prefixBans) relatedToAny(targets map[target]bool) map[target][]*prefixBan {
	out := make(map[target][]*prefixBan)
	lengths := lengthsOf(maps.Keys(targets))
	for t := range bans {
		for range t.shortened(lengths, func(u target) bool { return targets[u] }) {
			out[t] = nil
			break
		}
	}
	lengths = lengthsOf(maps.Keys(bans))
	has := func(u target) bool { return bans[u] != nil }
	for t := range targets {
		for u := range t.shortened(lengths, has) {
			out[u] = nil
		}
	}
	wanted := func(u target) bool { _, ok := out[u]; return ok }
	lengths = lengthsOf(maps.Keys(out))
	for t, b := range bans {
		for u := range t.shortened(lengths, wanted) { // those around, of which each has b inside
			out[u] = append(out[u], b)
		}
	}
	lengths = lengthsOf(maps.Keys(bans))
	for t := range out {
		for u := range t.shortened(lengths, has) {
			if u != t {
				out[t] = append(out[t], bans[u])
			}
		}
	}
	return out
}

// lengthsOf returns how many bits the targets have.
func lengthsOf(targets iter.Seq[target]) []uint8 {
	var seen [129]bool
	var out []uint8
	for t := range targets {
		if !seen[t.bits] {
			seen[t.bits] = true
			out = append(out, t.bits)
		}
	}
	return out
}

// shortened yields t's prefixes of these lengths, itself included, that are wanted.
func (t target) shortened(lengths []uint8, wanted func(target) bool) iter.Seq[target] {
	return func(yield func(target) bool) {
		for _, bits := range lengths {
			if bits > t.bits {
				continue
			}
			if u := t.shorten(bits); wanted(u) && !yield(u) {
				return
			}
		}
	}
}

// outlasts orders overlapping bans by who has the addresses that both cover.
func (b *prefixBan) outlasts(c *prefixBan) bool {
	return b.until > c.until || b.until == c.until && b.bits < c.bits
}

// layOut returns the parts that b is to be stored as, so that each of its addresses
// is stored with the ban that lasts longest among those related to b.
func (b *prefixBan) layOut(related []*prefixBan) ([]netip.Prefix, error) {
	var left netipx.IPSetBuilder
	left.AddPrefix(b.prefix())
	shared := false
	for _, c := range related {
		if c == b || !c.outlasts(b) {
			continue
		}
		left.RemovePrefix(c.prefix())
		shared = true
	}
	if !shared {
		return []netip.Prefix{b.prefix()}, nil
	}
	set, err := left.IPSet()
	if err != nil {
		return nil, fmt.Errorf("lay out %s: %w", b.prefix(), err)
	}
	return set.Prefixes(), nil
}
