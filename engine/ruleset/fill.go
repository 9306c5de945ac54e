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
				if half := s.Addrs.half(family); half.Len() >= fillSize {
					out = append(out, Fill{f, s.Name + family.digit(), half})
				}
			}
		}
	}
	return out
}
