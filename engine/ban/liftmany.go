package ban

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// UnbanWithin lifts the bans of all that lies in a prefix, itself included, and returns how many that were. Where there
// is none, it fails as Unban does.
func (b *Book) UnbanWithin(ctx context.Context, p netip.Prefix) (int, error) {
	n, err := normalTarget(p)
	if err != nil {
		return 0, fmt.Errorf("unban: %w", err)
	}
	if n.IsSingleIP() {
		if err := b.Unban(ctx, n); err != nil {
			return 0, err
		}
		return 1, nil
	}
	lifted, err := b.unbanAny(ctx, func(x Ban) bool { return within(x.Target, n) })
	if err == nil && lifted == 0 {
		return 0, b.notBanned(ctx, n)
	}
	if err != nil {
		return lifted, fmt.Errorf("unban what is in %s: %w", n, err)
	}
	return lifted, nil
}

// UnbanBy lifts the bans that somebody made: a detector, a handler, a person. It fails with ErrNotBanned where there are none.
func (b *Book) UnbanBy(ctx context.Context, by string) (int, error) {
	lifted, err := b.unbanAny(ctx, func(x Ban) bool { return x.By == by })
	if err != nil {
		return lifted, fmt.Errorf("unban what %s banned: %w", by, err)
	}
	if lifted == 0 {
		return 0, fmt.Errorf("no ban is by %q (moonlatch bans shows by whom each is): whoever that banned %w", by, ErrNotBanned)
	}
	return lifted, nil
}

// unbanAny lifts the bans that the kernel holds for which want reports true.
func (b *Book) unbanAny(ctx context.Context, want func(Ban) bool) (int, error) {
	bans, err := b.Bans(ctx)
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.loadPrefixes(); err != nil {
		return 0, err
	}
	var lift []target
	for _, x := range bans {
		if want(x) {
			lift = append(lift, targetOf(x.Target))
		}
	}
	if err := b.lift(ctx, lift); err != nil {
		return 0, err
	}
	b.ended(lift, len(lift), UnbannedRequest)
	return len(lift), nil
}

// Like lists up to n targets whose text begins so, of the bans that the book knows, without asking the kernel.
func (b *Book) Like(start string, n int) []string {
	now := b.clock()
	var out []string
	b.index.each(func(t target, e entry) {
		if len(out) >= n || e.until() <= now {
			return
		}
		if text := show(t.prefix()); strings.HasPrefix(text, start) {
			out = append(out, text)
		}
	})
	return out
}
