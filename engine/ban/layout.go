package ban

import (
	"fmt"
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

// related returns the bans that share addresses with t.
func (bans prefixBans) related(t target) []*prefixBan {
	var out []*prefixBan
	for u, b := range bans {
		if u.overlaps(t) {
			out = append(out, b)
		}
	}
	return out
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
