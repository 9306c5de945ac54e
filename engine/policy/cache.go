package policy

import lua "github.com/yuin/gopher-lua"

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
