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

// related returns the bans that may share addresses with t: all inside the
// shortest prefix among them that overlaps t. Prefixes hold each other or are
// apart, so no other ban overlaps any of these.
func (bans prefixBans) related(t target) []*prefixBan {
	root := t
	for u := range bans {
		if u.bits < root.bits && u.overlaps(t) {
			root = u
		}
	}
	var out []*prefixBan
	for u, b := range bans {
		if u.overlaps(root) {
			out = append(out, b)
		}
	}
	return out
}

// outlasts orders overlapping bans by who has the addresses that both cover.
func (b *prefixBan) outlasts(c *prefixBan) bool {
	return b.until > c.until || b.until == c.until && b.bits < c.bits
}

// layOut returns the parts that b is to be stored as, so that each of its
// addresses is stored with the ban among the related ones that lasts longest.
func (b *prefixBan) layOut(related []*prefixBan) ([]netip.Prefix, error) {
	var left netipx.IPSetBuilder
	left.AddPrefix(b.prefix())
	shared := false
	for _, c := range related {
		if c == b || !c.overlaps(b.target) || !c.outlasts(b) {
			continue
		}
		if c.bits < b.bits {
			return nil, nil
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
