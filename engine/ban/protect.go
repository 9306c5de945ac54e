package ban

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"moonlatch/engine/nft"
)

// Kernel owns the protection that Open found in the kernel: that of other processes, or of this one's predecessor.
const Kernel = "kernel"

// protection is who is protected, by owner. It does not change.
type protection struct {
	owners map[string]*netipx.IPSet
	all    *netipx.IPSet
}

func newProtection(owners map[string]*netipx.IPSet) (*protection, error) {
	all, err := union(slices.Collect(maps.Values(owners))...)
	if err != nil {
		return nil, err
	}
	return &protection{owners: owners, all: all}, nil
}

func union(sets ...*netipx.IPSet) (*netipx.IPSet, error) {
	var b netipx.IPSetBuilder
	for _, s := range sets {
		b.AddSet(s)
	}
	return b.IPSet()
}

func without(s, other *netipx.IPSet) (*netipx.IPSet, error) {
	var b netipx.IPSetBuilder
	b.AddSet(s)
	b.RemoveSet(other)
	return b.IPSet()
}

// check returns ErrProtected if p overlaps what is protected, and says what and by whom.
func (p *protection) check(target netip.Prefix) error {
	owner, q, ok := p.by(target)
	if !ok {
		return nil
	}
	return fmt.Errorf("%s %w: %s is protected by %s", show(target), ErrProtected, show(q), describeOwner(owner))
}

// by returns who protects what of the target, the first by name, and Kernel only where nobody else does.
func (p *protection) by(target netip.Prefix) (owner string, what netip.Prefix, ok bool) {
	if !p.all.OverlapsPrefix(target) {
		return "", netip.Prefix{}, false
	}
	names := slices.SortedFunc(maps.Keys(p.owners), func(x, y string) int {
		if x == Kernel || y == Kernel {
			return bit(x == Kernel) - bit(y == Kernel)
		}
		return strings.Compare(x, y)
	})
	for _, owner := range names {
		for _, q := range p.owners[owner].Prefixes() {
			if q.Overlaps(target) {
				return owner, q, true
			}
		}
	}
	return "", netip.Prefix{}, false
}

// show writes a host without its prefix length.
func show(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// Protect replaces the list of one owner, such as "policy", "host" or "session".
// What is on the list of any owner is protected: from the one transaction on that
// changes the list in the kernel it passes, whoever is banned. Then the bans that
// cover some of it are lifted.
//
// Until Protect replaces the list of Kernel, that holds what Open found, so that a
// process that only comes by takes nobody's protection away. A daemon replaces it
// by nothing once it has set its own lists. What other processes protected since
// Open stays.
func (b *Book) Protect(ctx context.Context, owner string, list []netip.Prefix) error {
	set, err := protectedSet(list)
	if err != nil {
		return fmt.Errorf("protect for %q: %w", owner, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.guarded.Load()
	owners := maps.Clone(was.owners)
	owners[owner] = set
	now, err := newProtection(owners)
	if err != nil {
		return fmt.Errorf("protect for %q: %w", owner, err)
	}
	if err := b.replaceProtection(ctx, was, now); err != nil {
		return fmt.Errorf("protect for %q: %w", owner, err)
	}
	b.guarded.Store(now)
	if err := b.liftProtected(ctx, was, now); err != nil {
		return fmt.Errorf("protect for %q: lift bans: %w", owner, err)
	}
	return nil
}

// Protects reports whether some of p is protected, so that a ban of it would be
// refused. It allocates nothing and waits for nothing.
func (b *Book) Protects(p netip.Prefix) bool { return b.guarded.Load().all.OverlapsPrefix(p) }

// ProtectedBy returns who protects some of p, and what of it.
func (b *Book) ProtectedBy(p netip.Prefix) (owner string, what netip.Prefix, ok bool) {
	owner, what, ok = b.guarded.Load().by(p)
	return describeOwner(owner), what, ok
}

// Protection returns what each owner protects. Neighbours in a list are joined.
func (b *Book) Protection() map[string][]netip.Prefix {
	out := make(map[string][]netip.Prefix)
	for owner, set := range b.guarded.Load().owners {
		if list := set.Prefixes(); len(list) > 0 {
			out[owner] = list
		}
	}
	return out
}

// Overlapping returns the bans that share addresses with p, in the order of their targets. Where the Book has not adopted all
// bans it reads them from the kernel, so that Protect then lifts these.
func (b *Book) Overlapping(p netip.Prefix) ([]netip.Prefix, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := targetOf(p)
	if !b.adopted.Load() {
		if err := b.learnWithin(t); err != nil {
			return nil, fmt.Errorf("bans of %s: %w", show(p), err)
		}
	}
	var out []netip.Prefix
	now := b.clock()
	b.index.each(func(u target, e entry) {
		if e.until() > now && u.overlaps(t) {
			out = append(out, u.prefix())
		}
	})
	slices.SortFunc(out, netip.Prefix.Compare)
	return out, nil
}

// learnWithin learns the bans that share addresses with t. Of a single address it takes no list.
func (b *Book) learnWithin(t target) error {
	now := b.clock()
	if t.bits == 128 {
		return b.ask(t, now)
	}
	for _, s := range bannedSets() {
		if s.net() || s.family() != t.family() {
			continue
		}
		all, err := elements(b.lister, s)
		if err != nil && !errors.Is(err, nft.ErrNotExist) {
			return err
		}
		for _, e := range all {
			if u := s.target(e.Prefix); u.overlaps(t) {
				b.learn(u, e, now)
			}
		}
	}
	return b.loadPrefixes()
}

// describeOwner names who protects an address.
func describeOwner(owner string) string {
	if owner == Kernel {
		return "the kernel's protected set, which a running policy fills"
	}
	return owner
}

func protectedSet(list []netip.Prefix) (*netipx.IPSet, error) {
	var b netipx.IPSetBuilder
	for _, p := range list {
		n, ok := unmap(p)
		if !ok || !n.IsValid() {
			return nil, fmt.Errorf("%s is no address or prefix", p)
		}
		b.AddPrefix(n.Masked())
	}
	return b.IPSet()
}

// replaceProtection changes the kernel's lists from was to now. The caller holds b.mu.
func (b *Book) replaceProtection(ctx context.Context, was, now *protection) error {
	err := b.tryReplaceProtection(was, now)
	if errors.Is(err, nft.ErrNotExist) { // others destroyed the table
		if _, err := b.mend(ctx); err != nil {
			return err
		}
		err = b.tryReplaceProtection(was, now)
	}
	return err
}

func (b *Book) tryReplaceProtection(was, now *protection) error {
	tx := b.nft.Begin()
	for _, s := range []set{protected4, protected6} {
		elements, err := elements(b.nft, s)
		if err != nil {
			return err
		}
		have := make([]netip.Prefix, len(elements))
		for i, e := range elements {
			have[i] = e.Prefix
		}
		want, err := wantProtected(have, was, now)
		if err != nil {
			return err
		}
		want = slices.DeleteFunc(want, func(p netip.Prefix) bool { return p.Addr().Is4() != (s == protected4) })
		deleteElements(tx, s, missingFrom(want, have))
		tx.AddElements(core(), string(s), missingFrom(have, want))
	}
	return tx.Commit()
}

// wantProtected returns what the kernel is to hold instead of have: what others put there stays.
func wantProtected(have []netip.Prefix, was, now *protection) ([]netip.Prefix, error) {
	kernel, err := protectedSet(have)
	if err != nil {
		return nil, err
	}
	others, err := without(kernel, was.all)
	if err != nil {
		return nil, err
	}
	want, err := union(others, now.all)
	if err != nil {
		return nil, err
	}
	return want.Prefixes(), nil
}

// missingFrom returns elements for those of all that list does not hold.
func missingFrom(list, all []netip.Prefix) []nft.Element {
	held := make(map[netip.Prefix]bool, len(list))
	for _, p := range list {
		held[p] = true
	}
	var out []nft.Element
	for _, p := range all {
		if !held[p] {
			out = append(out, nft.Element{Prefix: p})
		}
	}
	return out
}

// liftProtected lifts the bans that cover some of what is newly protected. The caller holds b.mu.
func (b *Book) liftProtected(ctx context.Context, was, now *protection) error {
	added, err := without(now.all, was.all)
	if err != nil || len(added.Ranges()) == 0 {
		return err
	}
	var lift []target
	b.index.each(func(t target, _ entry) {
		if added.OverlapsPrefix(t.prefix()) {
			lift = append(lift, t)
		}
	})
	if err := b.lift(ctx, lift); err != nil {
		return err
	}
	b.ended(lift, len(lift), UnbannedProtected)
	return nil
}

// adoptProtection makes what the kernel protects the list of Kernel.
func (b *Book) adoptProtection() error {
	var list []netip.Prefix
	for _, s := range []set{protected4, protected6} {
		elements, err := elements(b.nft, s)
		if err != nil {
			return err
		}
		for _, e := range elements {
			list = append(list, e.Prefix)
		}
	}
	set, err := protectedSet(list)
	if err != nil {
		return err
	}
	p, err := newProtection(map[string]*netipx.IPSet{Kernel: set})
	if err != nil {
		return err
	}
	b.guarded.Store(p)
	return nil
}
