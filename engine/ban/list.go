package ban

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"moonlatch/engine/nft"
)

// Bans lists the bans in force as the kernel holds them, whoever made them, in the
// order of their targets. During a trial, a ban's end is that in the kernel. It takes half a second for 100,000
// bans and a minute for 1,000,000.
func (b *Book) Bans(context.Context) ([]Ban, error) {
	var bans []Ban
	for _, s := range bannedSets() {
		elements, err := elements(b.lister, s)
		if err != nil {
			return nil, fmt.Errorf("list bans: %w", err)
		}
		now := b.cfg.Now()
		bans = slices.Grow(bans, len(elements))
		for _, e := range elements {
			bans = append(bans, s.ban(e, now))
		}
	}
	slices.SortFunc(bans, func(x, y Ban) int { return x.Target.Compare(y.Target) })
	return joinParts(bans), nil
}

// ban returns the ban that an element is, or is a part of.
func (s set) ban(e nft.Element, now time.Time) Ban {
	n := parseNote(e.Comment)
	ban := Ban{Target: s.target(e.Prefix).prefix(), Why: n.why, By: n.by, Origin: n.origin}
	if n.whole.IsValid() && within(e.Prefix, n.whole) {
		ban.Target = n.whole
	}
	if e.Expires != 0 {
		ban.Until = now.Add(e.Expires).Round(0)
		ban.Since = ban.Until.Add(-e.Timeout)
	}
	return ban
}

// joinParts makes one ban of neighbours with the same target: parts of one, or what a listing repeats.
func joinParts(bans []Ban) []Ban {
	out := bans[:0]
	for _, ban := range bans {
		last := len(out) - 1
		if last < 0 || out[last].Target != ban.Target {
			out = append(out, ban)
			continue
		}
		if ban.Since.Before(out[last].Since) {
			out[last].Since = ban.Since
		}
	}
	return out
}

// Lookup returns the ban in force that bans addr for longest, asking the kernel: its own, or that of a prefix around it.
func (b *Book) Lookup(_ context.Context, addr netip.Addr) (Ban, bool, error) {
	return find(b.nft, addr, b.cfg.Now())
}

// Find is Lookup without a Book: it makes nothing in the kernel. Where there is no core table, nobody is banned.
func Find(c *nft.Client, addr netip.Addr) (Ban, bool, error) {
	found, ok, err := find(c, addr, time.Now())
	if errors.Is(err, nft.ErrNotExist) {
		return Ban{}, false, nil
	}
	return found, ok, err
}

// Protected reports, likewise, whether the kernel lets addr pass before it looks for a ban.
func Protected(c *nft.Client, addr netip.Addr) (bool, error) {
	for _, s := range [...]set{protected4, protected6} {
		key, ok := s.key(addr)
		if !ok {
			continue
		}
		_, ok, err := c.Element(core(), string(s), key)
		if err != nil && !errors.Is(err, nft.ErrNotExist) {
			return false, fmt.Errorf("look up %s: %w", addr, err)
		}
		return ok && err == nil, nil
	}
	return false, nil
}

func find(c *nft.Client, addr netip.Addr, now time.Time) (Ban, bool, error) {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return Ban{}, false, fmt.Errorf("look up ban: no address given")
	}
	var found Ban
	banned := false
	for _, s := range bannedSets() {
		key, ok := s.key(addr)
		if !ok {
			continue
		}
		e, ok, err := c.Element(core(), string(s), key)
		if err != nil {
			return Ban{}, false, fmt.Errorf("look up ban of %s: %w", addr, err)
		}
		if !ok {
			continue
		}
		ban := s.ban(e, now)
		if !banned || ban.outlasts(found) {
			found, banned = ban, true
		}
	}
	return found, banned, nil
}

// key returns what stands for addr in the set, false if the set is for the other family.
func (s set) key(addr netip.Addr) (netip.Prefix, bool) {
	if addr.Is4() != (s.family() == IPv4) {
		return netip.Prefix{}, false
	}
	t := targetOf(netip.PrefixFrom(addr, addr.BitLen()))
	if s == banned6s64 {
		t = t.shorten(64)
	}
	return t.element(), true
}

func (x Ban) outlasts(y Ban) bool {
	return x.Until.IsZero() || !y.Until.IsZero() && x.Until.After(y.Until)
}
