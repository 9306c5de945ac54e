package ban

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// Expire ends the bans whose time is over by the clock of a Book with Config.Played,
// and returns when the next one will be: the zero time where there is none.
func (b *Book) Expire(ctx context.Context) (next time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	soonest := forever
	var over []target
	b.index.each(func(t target, e entry) {
		if e.until() <= now {
			over = append(over, t)
		} else {
			soonest = min(soonest, e.until())
		}
	})
	if err := b.lift(ctx, over); err != nil {
		return next, fmt.Errorf("end bans: %w", err)
	}
	b.counters.unbanned(UnbannedExpired, len(over))
	return b.wall(soonest), nil
}

// Holds reports whether the book has a ban in force that covers addr, and addr is not protected. It asks
// nobody: what other processes banned it may not know.
func (b *Book) Holds(addr netip.Addr) bool {
	p := netip.PrefixFrom(addr, addr.BitLen())
	if b.Protects(p) {
		return false
	}
	_, _, ok := b.index.covering(targetOf(p), b.clock())
	return ok
}
