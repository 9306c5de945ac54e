package policy

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	lua "github.com/yuin/gopher-lua"
)

// recent is a bounded cache: it keeps the latest max keys at least, and twice
// as many at most. When the young half is full, the old one is forgotten.
type recent[K comparable, V any] struct {
	max        int
	young, old map[K]V
}

func newRecent[K comparable, V any](max int) recent[K, V] {
	return recent[K, V]{max: max, young: map[K]V{}, old: map[K]V{}}
}

// get returns the value of a key, which makes gives for a key that is not there.
func (r *recent[K, V]) get(k K, makes func(K) V) V {
	if v, ok := r.young[k]; ok {
		return v
	}
	v, ok := r.old[k]
	if !ok {
		v = makes(k)
	}
	if len(r.young) == r.max {
		r.young, r.old = r.old, r.young
		clear(r.young)
	}
	r.young[k] = v
	return v
}

// numbers holds the Lua values of 16-bit numbers once they were needed, because
// making one allocates: ports, lengths and TTLs are such numbers.
type numbers struct{ pages [256]*[256]lua.LValue }

func (n *numbers) get(i uint16) lua.LValue {
	page := n.pages[i>>8]
	if page == nil {
		page = new([256]lua.LValue)
		n.pages[i>>8] = page
	}
	v := page[i&0xff]
	if v == nil {
		v = lua.LNumber(i)
		page[i&0xff] = v
	}
	return v
}

// addressTexts holds the Lua texts of the addresses that came by lately, in one
// place each that its address hashes to. Who aims at one place gains nothing:
// the text that is not there is made again.
type addressTexts [4096]struct {
	addr netip.Addr
	text lua.LValue
}

func (t *addressTexts) get(a netip.Addr) lua.LValue {
	e := &t[addressHash(a)>>(64-12)]
	if e.addr != a {
		e.addr, e.text = a, lua.LString(a.String())
	}
	return e.text
}

func addressHash(a netip.Addr) uint64 {
	const odd = 0x9e3779b97f4a7c15 // 2^64 over the golden ratio: neighbours land far apart
	if a.Is4() {
		b := a.As4()
		return uint64(binary.LittleEndian.Uint32(b[:])) * odd
	}
	b := a.As16()
	hi, lo := binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])
	return (hi ^ bits.RotateLeft64(lo, 1)) * odd
}
