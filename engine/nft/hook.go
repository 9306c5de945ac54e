package nft

import (
	"golang.org/x/sys/unix"
)

// A Hook says where the kernel calls a base chain, and what becomes of packets that reach its end.
type Hook struct {
	Chain   string
	Type    string // filter, nat or route
	Hook    string // prerouting, input and so on
	Drops   bool   // the policy is drop
	Devices []string
}

// hookName returns the name of a hook (linux/netfilter.h: enum nf_inet_hooks, enum nf_dev_hooks; linux/netfilter_arp.h).
func hookName(f Family, num uint32) string {
	names := []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}
	switch f {
	case Netdev:
		names = []string{"ingress", "egress"}
	case ARP:
		names = []string{"input", "output", "forward"}
	}
	if int(num) >= len(names) {
		return "unknown"
	}
	return names[num]
}

// noteHook remembers what an attribute tells about a base chain.
func (r *record) noteHook(in *reader) error {
	switch in.typ {
	case unix.NFTA_CHAIN_HOOK:
		hook := reader{b: in.data}
		r.hook = &Hook{}
		for hook.next() {
			if hook.typ == unix.NFTA_HOOK_HOOKNUM {
				r.hook.Hook = hookName(r.table.Family, hook.uint32())
			}
		}
		if hook.err != nil {
			return hook.err
		}
		return r.noteDevices(in.data, nftaHookDevs)
	case unix.NFTA_CHAIN_POLICY:
		if r.hook != nil {
			r.hook.Drops = in.uint32() == 0 // linux/netfilter.h: NF_DROP
		}
	case unix.NFTA_CHAIN_TYPE:
		if r.hook != nil {
			r.hook.Type = in.string()
		}
	}
	return in.err
}

// A TableImage tells what is in a table of an image.
type TableImage struct {
	Table
	Dormant  bool   // its chains are not called
	Owner    uint32 // the netlink port of the process that owns it, most often its pid; 0 if none does. Nobody else can change it
	Hooks    []Hook
	Chains   int // with the base chains
	Rules    int
	Sets     int            // sets and maps that have a name
	Elements map[string]int // in each of those; an interval counts once
}

// Tables describes the tables in the order of the kernel.
func (im *Image) Tables() []TableImage {
	out := make([]TableImage, len(im.tables))
	place := make(map[Table]*TableImage, len(out))
	for i, t := range im.tables {
		out[i] = TableImage{Table: t.table, Dormant: t.flags&tableDormant != 0, Owner: t.owner, Elements: map[string]int{}}
		place[t.table] = &out[i]
	}
	for i := range im.chains {
		c := &im.chains[i]
		if t := place[c.table]; t != nil {
			t.Chains++
			if c.hook != nil {
				hook := *c.hook
				hook.Chain, hook.Devices = c.name, c.devices
				t.Hooks = append(t.Hooks, hook)
			}
		}
	}
	for i := range im.rules {
		if t := place[im.rules[i].table]; t != nil {
			t.Rules++
		}
	}
	for i := range im.sets {
		s := &im.sets[i]
		if t := place[s.table]; t != nil && s.flags&unix.NFT_SET_ANONYMOUS == 0 {
			t.Sets++
			t.Elements[s.name] = s.count()
		}
	}
	return out
}

// count returns the number of elements, intervals counted once.
func (r *record) count() int {
	n := 0
	for _, b := range r.elements {
		if k, err := decodeKey(b); err == nil && !k.end {
			n++
		}
	}
	return n
}
