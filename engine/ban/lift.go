package ban

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"moonlatch/engine/nft"
)

// Unban lifts the ban of exactly this address or prefix, whoever made it. Where
// another ban covers it, that stays in force. It fails with ErrNotBanned, and names the
// ban of a prefix around it if there is one.
func (b *Book) Unban(ctx context.Context, p netip.Prefix) error {
	n, err := normalTarget(p)
	if err != nil {
		return fmt.Errorf("unban: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := targetOf(n)
	banned, err := b.holds(t)
	if err != nil {
		return fmt.Errorf("unban %s: %w", show(n), err)
	}
	if !banned {
		return b.notBanned(ctx, n)
	}
	if err := b.lift(ctx, []target{t}); err != nil {
		return fmt.Errorf("unban %s: %w", show(n), err)
	}
	b.ended([]target{t}, 1, UnbannedRequest)
	return nil
}

// holds reports whether the kernel holds a ban of t.
func (b *Book) holds(t target) (bool, error) {
	if !t.set().net() {
		_, ok, err := b.nft.Element(core(), string(t.set()), t.element())
		return ok, err
	}
	if err := b.loadMissing(t); err != nil {
		return false, err
	}
	p, ok := b.prefixes[t]
	return ok && p.until > b.clock(), nil
}

// loadMissing reads the bans of prefixes anew if that of t is not known: another process may have made it.
func (b *Book) loadMissing(t target) error {
	if p := b.prefixes[t]; p != nil && p.until > b.clock() {
		return nil
	}
	return b.loadPrefixes()
}

func (b *Book) notBanned(ctx context.Context, p netip.Prefix) error {
	around, ok, err := b.Lookup(ctx, p.Addr())
	if err == nil && ok && around.Target.Overlaps(p) && around.Target.Bits() < p.Bits() {
		return fmt.Errorf("%s itself %w, but %s is: unban that", show(p), ErrNotBanned, around.Target)
	}
	return fmt.Errorf("%s %w", show(p), ErrNotBanned)
}

// lift lifts bans. The caller holds b.mu.
func (b *Book) lift(ctx context.Context, targets []target) error {
	if err := b.write(ctx, change{lift: targets}); err != nil {
		return err
	}
	b.forget(targets)
	return nil
}

// forget forgets what is known of bans that were lifted, but for the offences. The caller holds b.mu.
func (b *Book) forget(targets []target) {
	for _, t := range targets {
		b.crowds.leave(t)
		if b.trial != nil {
			delete(b.trial.bans, t)
		}
	}
}

// maxNamed is how many of the bans that end together are named.
const maxNamed = 1024

// ended counts bans that ended, and tells who wants to know.
func (b *Book) ended(targets []target, n int, how string) {
	b.counters.unbanned(how, n)
	if b.cfg.Lifted == nil || n == 0 {
		return
	}
	named := make([]netip.Prefix, min(len(targets), maxNamed))
	for i := range named {
		named[i] = targets[i].prefix()
	}
	b.cfg.Lifted(named, n, how)
}

// UnbanAll lifts all bans, whoever made them, and returns how many elements that were: a ban that
// others overlap may have several.
func (b *Book) UnbanAll(context.Context) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.flush()
	if err != nil {
		return 0, fmt.Errorf("unban all: %w", err)
	}
	b.index.sweep(forever, 0)
	if b.cfg.Changed != nil {
		b.cfg.Changed(Change{All: true})
	}
	clear(b.prefixes)
	b.crowds = crowds{}
	if b.trial != nil {
		clear(b.trial.bans)
	}
	if b.adoption != nil {
		b.adoption.void = true
	}
	b.ended(nil, n, UnbannedRequest)
	return n, nil
}

// flush empties the sets of bans and returns how many elements they held. The
// kernel may miss some while it enlarges a set, so it looks again.
func (b *Book) flush() (int, error) {
	held, err := b.size()
	left := held
	for attempts := 10; err == nil && left > 0; attempts-- {
		if attempts == 0 {
			return 0, fmt.Errorf("%w: new bans keep coming from another process", nft.ErrInterrupted)
		}
		tx := b.nft.Begin()
		for _, s := range bannedSets() {
			tx.FlushSet(core(), string(s))
		}
		if err := tx.Commit(); err != nil {
			return 0, err
		}
		left, err = b.size()
	}
	return held, err
}

// size returns how many elements the sets of bans hold, which recent kernels tell without listing them.
func (b *Book) size() (int, error) {
	n := 0
	for _, s := range bannedSets() {
		info, err := b.nft.SetInfo(core(), string(s))
		if errors.Is(err, nft.ErrNotExist) {
			continue // somebody took it away, with all that it held
		}
		if err != nil {
			return 0, err
		}
		if info.Count >= 0 && !s.net() { // of an interval, both ends count
			n += info.Count
			continue
		}
		all, err := elements(b.nft, s)
		if err != nil {
			return 0, err
		}
		n += len(all)
	}
	return n, nil
}
