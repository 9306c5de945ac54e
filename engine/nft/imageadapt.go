package nft

import (
	"bytes"
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// Devices lists the interfaces that chains and flowtables name.
func (im *Image) Devices() []string {
	var out []string
	for _, all := range [][]record{im.chains, im.flowtables} {
		for i := range all {
			out = append(out, all[i].devices...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// WithoutDevices returns the image without what is about these interfaces, as the kernel itself has it after an interface is
// gone: chains and flowtables no longer name them, and a chain that names no other is gone with its rules.
func (im *Image) WithoutDevices(gone []string) *Image {
	dropped := make(map[member]bool)
	isGone := func(name string) bool { return slices.Contains(gone, name) }
	for i := range im.chains {
		if c := &im.chains[i]; len(c.devices) > 0 && !slices.ContainsFunc(c.devices, func(d string) bool { return !isGone(d) }) {
			dropped[c.member()] = true
		}
	}
	out := im.without(func(r *record) bool { return dropped[r.member()] })
	for _, all := range [][]record{out.chains, out.flowtables} {
		for i := range all {
			if r := &all[i]; slices.ContainsFunc(r.devices, isGone) {
				r.filterDevices(isGone)
			}
		}
	}
	return out.withoutOrphans(im)
}

// A member is a chain, to which rules belong, or a set.
type member struct {
	kind  uint16
	table Table
	name  string
}

func (r *record) member() member {
	if r.typ == unix.NFT_MSG_NEWRULE {
		return member{unix.NFT_MSG_NEWCHAIN, r.table, r.name}
	}
	return member{r.typ, r.table, r.name}
}

// withoutOrphans drops nameless sets and chains that only rules used which the whole image had: the kernel takes none that
// no rule uses.
func (im *Image) withoutOrphans(whole *Image) *Image {
	for {
		used := im.nameless()
		var orphans []member
		for p := range whole.nameless() {
			if !used[p] {
				orphans = append(orphans, p)
			}
		}
		next := im.without(func(r *record) bool { return slices.Contains(orphans, r.member()) })
		if len(next.rules) == len(im.rules) {
			return next
		}
		im = next
	}
}

// nameless returns the sets and chains without a name of their own that rules use.
func (im *Image) nameless() map[member]bool {
	used := make(map[member]bool)
	for i := range im.rules {
		for _, e := range im.rules[i].expressions() {
			used[member{unix.NFT_MSG_NEWSET, im.rules[i].table, e.set()}] = true
			used[member{unix.NFT_MSG_NEWCHAIN, im.rules[i].table, e.target()}] = true
		}
	}
	out := make(map[member]bool)
	for i := range im.sets {
		if p := im.sets[i].member(); used[p] && im.sets[i].flags&unix.NFT_SET_ANONYMOUS != 0 {
			out[p] = true
		}
	}
	for i := range im.chains {
		if p := im.chains[i].member(); used[p] && im.chains[i].flags&chainBinding != 0 {
			out[p] = true
		}
	}
	return out
}

// filterDevices takes interfaces out of the attributes of a chain or a flowtable.
func (r *record) filterDevices(gone func(string) bool) {
	hook, devs := uint16(unix.NFTA_CHAIN_HOOK), uint16(nftaHookDevs)
	if r.typ == unix.NFT_MSG_NEWFLOWTABLE {
		hook, devs = nftaFlowtableHook, nftaFlowtableHookDevs
	}
	r.attrs = rewrite(r.attrs, func(in *reader) bool {
		if in.typ == hook {
			in.data = rewrite(in.data, func(in *reader) bool {
				if in.typ == devs {
					in.data = rewrite(in.data, func(in *reader) bool { return in.typ != nftaDeviceName || !gone(in.string()) })
				}
				// A chain with one device names it twice.
				return in.typ != unix.NFTA_HOOK_DEV || r.typ != unix.NFT_MSG_NEWCHAIN || !gone(in.string())
			})
		}
		return true
	})
	r.devices = slices.DeleteFunc(slices.Clone(r.devices), gone)
}

// rewrite returns the attributes that each keeps, with what it made of their data.
func rewrite(attrs []byte, each func(*reader) bool) []byte {
	var out []byte
	for r := (reader{b: attrs}); r.next(); {
		if each(&r) {
			out = r.appendTo(out)
		}
	}
	return out
}

// ipsets returns the places of the numbers of ipsets in the data of an extension of iptables, of which nothing else is known here
// (linux/netfilter/xt_set.h; all revisions but the first, which no iptables of this decade uses).
func (e expr) ipsets() [][]byte {
	if e.name != exprMatch && e.name != exprTarget { // as nearly all are
		return nil
	}
	info := attr(e.data, unix.NFTA_MATCH_INFO) // NFTA_TARGET_INFO is the same
	n := 0
	switch name := text(attr(e.data, unix.NFTA_MATCH_NAME)); {
	case e.name == exprMatch && name == "set":
		n = 1
	case e.name == exprTarget && name == "SET":
		n = 3
		if number(attr(e.data, unix.NFTA_MATCH_REV)) < 3 {
			n = 2
		}
	}
	const size = 4 // struct xt_set_info
	var out [][]byte
	for i := 0; i < n && (i+1)*size <= len(info); i++ {
		out = append(out, info[i*size:i*size+2])
	}
	return out
}

// WithIPSets returns the image with the numbers of ipsets in rules of iptables-nft replaced: the kernel numbers sets anew when they
// are made again. A number that is not in the map stays.
func (im *Image) WithIPSets(numbers map[uint16]uint16) *Image {
	out := *im
	out.rules = slices.Clone(im.rules)
	for i := range out.rules {
		r := &out.rules[i]
		if !r.uses(func(uint16) bool { return true }) {
			continue
		}
		r.attrs = bytes.Clone(r.attrs)
		for _, e := range r.expressions() {
			for _, b := range e.ipsets() {
				if n, ok := numbers[binary.NativeEndian.Uint16(b)]; ok {
					binary.NativeEndian.PutUint16(b, n)
				}
			}
		}
	}
	return &out
}

// WithoutIPSets returns the image without the rules of iptables-nft that use these ipsets, which are gone: the kernel would not take
// such a rule.
func (im *Image) WithoutIPSets(gone []uint16) *Image {
	out := im.without(func(r *record) bool {
		return r.typ == unix.NFT_MSG_NEWRULE && r.uses(func(n uint16) bool { return slices.Contains(gone, n) })
	})
	return out.withoutOrphans(im)
}

// uses reports whether a rule uses an ipset whose number is one of those.
func (r *record) uses(those func(uint16) bool) bool {
	for _, e := range r.expressions() {
		for _, b := range e.ipsets() {
			if those(binary.NativeEndian.Uint16(b)) {
				return true
			}
		}
	}
	return false
}

// WithoutOffload returns the image with everything that hardware is to do left to the kernel.
func (im *Image) WithoutOffload() *Image {
	out := *im
	out.chains, out.flowtables = slices.Clone(im.chains), slices.Clone(im.flowtables)
	for i := range out.chains {
		if c := &out.chains[i]; c.flags&chainOffload != 0 {
			c.flags, c.attrs = c.flags&^chainOffload, bytes.Clone(c.attrs)
			overwrite(c.attrs, nftaChainFlags, c.flags)
		}
	}
	for i := range out.flowtables {
		f := &out.flowtables[i]
		f.attrs = bytes.Clone(f.attrs)
		overwrite(f.attrs, nftaFlowtableFlags, 0) // its only other flag is to count
	}
	return &out
}
