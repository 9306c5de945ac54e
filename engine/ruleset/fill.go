package ruleset

import (
	"math"
	"slices"
)

// textSize is how many ranges all sets in a ruleset's text hold together. The content of the largest goes into the
// kernel over netlink, as much of it as does not fit: as nft text, a million addresses cost nft five seconds and several hundred
// megabytes, and in a user namespace the kernel takes no message of more than 208 KiB (net/core/sock.h:
// SK_WMEM_DEFAULT, which only root may go beyond), of which a range takes up to 64 bytes, and a rule a few hundred.
const textSize = 1024

// Fill is what belongs into a kernel set whose content is too large for the text.
type Fill struct {
	Family Family
	Set    string     // the kernel's name of it
	Addrs  *Addresses // of one address family
	Feed   bool       // it is a feed's, which may be empty for a moment
}

// MaxKept bounds the size of a set with Keep: the kernel lists a set in time that grows with the
// square of its size, and lists 262,144 addresses in some three seconds.
const MaxKept = 1 << 18

// Kept is a set in the kernel that takes over what the one of its name in another generation holds.
type Kept struct {
	Family Family
	Set    string // the kernel's name of it
	Size   int    // the most addresses that it holds
}

// Kept lists the sets with Keep, in each table that has them.
func (r *Ruleset) Kept() []Kept {
	var out []Kept
	for _, f := range r.Families() {
		for _, s := range r.Sets {
			if s.Keep && r.declares(f, s) {
				out = append(out, Kept{f, s.Name + ipv4.digit(), s.size()}, Kept{f, s.Name + ipv6.digit(), s.size()})
			}
		}
	}
	return out
}

// Fills lists the contents that Render leaves out. Put them in before the
// tables' lease is filled, and the generation is never seen without them.
func (r *Ruleset) Fills() []Fill {
	all := r.halvesOfSets()
	bySize := slices.Clone(all)
	slices.SortStableFunc(bySize, func(a, b Fill) int { return b.Addrs.Len() - a.Addrs.Len() })
	bySize = slices.DeleteFunc(bySize, func(f Fill) bool { return f.Feed }) // none of these is in the text
	inText, least := 0, math.MaxInt                                         // ranges in the text; the smallest content that is left out
	for _, f := range bySize {
		inText += f.Addrs.Len()
	}
	for _, f := range bySize {
		if inText <= textSize {
			break
		}
		least = f.Addrs.Len()
		inText -= least
	}
	return slices.DeleteFunc(all, func(f Fill) bool { n := f.Addrs.Len(); return n == 0 || n < least && !f.Feed })
}

// halvesOfSets lists the content of every set of addresses, each address family's for itself.
func (r *Ruleset) halvesOfSets() []Fill {
	var out []Fill
	for _, f := range r.Families() {
		for _, s := range r.Sets {
			if s.IsPorts() || !r.declares(f, s) {
				continue
			}
			for _, family := range [...]family{ipv4, ipv6} {
				out = append(out, Fill{f, s.Name + family.digit(), s.Addrs.half(family), s.Feed})
			}
		}
	}
	return out
}
