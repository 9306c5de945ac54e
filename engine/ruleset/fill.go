package ruleset

// fillSize is from how many ranges on a set's content goes into the kernel over
// netlink: as nft text, a million addresses cost nft five seconds and several
// hundred megabytes, and in a user namespace the kernel takes no such message.
const fillSize = 4096

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
	var out []Fill
	for _, f := range r.Families() {
		for _, s := range r.Sets {
			if s.IsPorts() || !r.declares(f, s) {
				continue
			}
			for _, family := range [...]family{ipv4, ipv6} {
				if half := s.Addrs.half(family); half.Len() >= fillSize || s.Feed && half.Len() > 0 {
					out = append(out, Fill{f, s.Name + family.digit(), half, s.Feed})
				}
			}
		}
	}
	return out
}
