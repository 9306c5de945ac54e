package ban

import (
	"fmt"
	"net/netip"
	"slices"
)

// Covering returns every ban in force that covers an address, as the kernel holds them: its own first, then
// that of its /64, then those of prefixes.
func (b *Book) Covering(addr netip.Addr) ([]Ban, error) {
	addr = addr.Unmap().WithZone("")
	var out []Ban
	for _, s := range [...]set{banned4, banned4net, banned6, banned6s64, banned6net} {
		key, ok := s.key(addr)
		if !ok {
			continue
		}
		e, ok, err := b.nft.Element(core(), string(s), key)
		if err != nil {
			return nil, fmt.Errorf("look up bans of %s: %w", addr, err)
		}
		if ok {
			out = append(out, s.ban(e, b.cfg.Now()))
		}
	}
	return out, nil
}

// Protector is who protects an address or a prefix.
type Protector struct {
	Prefix netip.Prefix
	Owner  string
}

// Protectors lists who protects some of a prefix. What another process protects has the owner Kernel.
func (b *Book) Protectors(target netip.Prefix) []Protector {
	var out []Protector
	for owner, list := range b.guarded.Load().owners {
		for _, p := range list.Prefixes() {
			if p.Overlaps(target) {
				out = append(out, Protector{p, owner})
			}
		}
	}
	slices.SortFunc(out, func(x, y Protector) int {
		if c := x.Prefix.Compare(y.Prefix); c != 0 {
			return c
		}
		if x.Owner < y.Owner {
			return -1
		}
		return 1
	})
	return out
}
