package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// AddElements adds addresses or prefixes. One that is there already stays as it is, or on recent kernels gets the new
// timeout: use [Tx.ReplaceElements] to be sure. A prefix that overlaps with another one in the set fails the transaction
// with ErrExist, and an element too many with ErrFull.
func (tx *Tx) AddElements(t Table, set string, elements []Element) {
	tx.elements("add to set", unix.NFT_MSG_NEWSETELEM, t, set, len(elements), func(i int) Element { return elements[i] })
}

// CreateElements adds addresses to a hash set. One that is there already fails the transaction with ErrExist, unless it has expired.
func (tx *Tx) CreateElements(t Table, set string, elements []Element) {
	tx.exclusive = unix.NLM_F_EXCL
	tx.AddElements(t, set, elements)
	tx.exclusive = 0
}

// ReplaceElements adds addresses or prefixes with their timeouts and comments, whether they are there already or not.
// In an interval set that holds for the same prefixes; overlapping ones fail the transaction with ErrExist.
func (tx *Tx) ReplaceElements(t Table, set string, elements []Element) {
	at := func(i int) Element { return elements[i] }
	tx.elements("add to set", unix.NFT_MSG_NEWSETELEM, t, set, len(elements), at) // so that there is one to delete
	tx.elements("delete from set", unix.NFT_MSG_DELSETELEM, t, set, len(elements), at)
	tx.elements("add to set", unix.NFT_MSG_NEWSETELEM, t, set, len(elements), at)
}

// DeleteElements deletes addresses or prefixes. One that is not in the set, or expired, fails the transaction with ErrNotExist.
func (tx *Tx) DeleteElements(t Table, set string, prefixes []netip.Prefix) {
	tx.elements("delete from set", unix.NFT_MSG_DELSETELEM, t, set, len(prefixes), func(i int) Element { return Element{Prefix: prefixes[i]} })
}

// AddKeys adds elements to a set of anything, each with the same timeout, 0 for none.
func (tx *Tx) AddKeys(t Table, set string, timeout time.Duration, keys ...Key) {
	tx.keys("add to set", unix.NFT_MSG_NEWSETELEM, t, set, timeout, keys)
}

// DeleteKeys deletes elements from a set of anything. One that is not in the set, or expired, fails the transaction
// with ErrNotExist.
func (tx *Tx) DeleteKeys(t Table, set string, keys ...Key) {
	tx.keys("delete from set", unix.NFT_MSG_DELSETELEM, t, set, 0, keys)
}

// elements writes n operations on a set of addresses. The verb is for the error if the kernel refuses one.
func (tx *Tx) elements(verb string, typ uint16, t Table, set string, n int, at func(i int) Element) {
	o := op{verb: verb, table: t, name: set, addrs: true}
	if n == 0 || tx.err != nil {
		return
	}
	info, err := tx.info(t, set)
	if err != nil {
		tx.fail(o, err)
		return
	}
	size := 3*attrLen + int(info.keyLen) + attrLen + 8 // an address with a timeout
	if info.Interval {
		size += 3*attrLen + int(info.keyLen) + attrLen + 4 // the end of a prefix
	}
	tx.w.b = slices.Grow(tx.w.b, n*size+n*size/64)
	tx.list(typ, o, n, func(i int) error {
		e := at(i)
		if typ == unix.NFT_MSG_DELSETELEM {
			e = Element{Prefix: e.Prefix}
		}
		return tx.w.element(e, info)
	})
}

func (tx *Tx) keys(verb string, typ uint16, t Table, set string, timeout time.Duration, keys []Key) {
	o := op{verb: verb, table: t, name: set}
	tx.list(typ, o, len(keys), func(i int) error {
		item := tx.w.nest(unix.NFTA_LIST_ELEM)
		defer tx.w.endNest(item)
		tx.w.key([]byte(keys[i]))
		return tx.w.timeout(timeout)
	})
}

// list writes n elements with write, in as many messages as they need.
func (tx *Tx) list(typ uint16, o op, n int, write func(i int) error) {
	for i := 0; i < n && tx.err == nil; {
		list := tx.beginList(typ, o)
		for ; i < n && len(tx.w.b)-list < maxList; i++ {
			if err := write(i); err != nil {
				tx.fail(o, err)
				return
			}
		}
		tx.endList(list)
	}
}

// beginList starts a message for elements and returns the place of their list, for endList.
func (tx *Tx) beginList(typ uint16, o op) int {
	tx.message(typ, unix.NLM_F_CREATE|tx.exclusive, o)
	tx.w.string(unix.NFTA_SET_ELEM_LIST_TABLE, o.table.Name)
	tx.w.string(unix.NFTA_SET_ELEM_LIST_SET, o.name)
	return tx.w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
}

func (tx *Tx) endList(list int) {
	tx.w.endNest(list)
	tx.end()
}

// info describes a set. The transaction's own socket asks, because a long listing may keep the other one.
func (tx *Tx) info(t Table, set string) (SetInfo, error) {
	name := setName{t, set}
	if info, ok := tx.sets[name]; ok {
		return info, nil
	}
	info, err := tx.c.write.setInfo(t, set)
	if err != nil {
		return info, err
	}
	if tx.sets == nil {
		tx.sets = make(map[setName]SetInfo)
	}
	tx.sets[name] = info
	return info, nil
}

// element writes an address or prefix.
func (w *writer) element(e Element, info SetInfo) error {
	first, last, err := limits(e.Prefix, info)
	if err != nil {
		return err
	}
	if err := checkComment(e.Comment); err != nil {
		return fmt.Errorf("%s: %w", e.Prefix, err)
	}
	if e.Timeout != 0 && !info.HasTimeout {
		return fmt.Errorf("%s: the set has no timeouts: it needs `flags timeout`", e.Prefix)
	}
	end := last.Next() // invalid after the family's last address
	item := w.nest(unix.NFTA_LIST_ELEM)
	w.addr(first)
	if err := w.timeout(e.Timeout); err != nil {
		return fmt.Errorf("%s: %w", e.Prefix, err)
	}
	if 0 < e.Expires && e.Expires < e.Timeout {
		w.uint64(unix.NFTA_SET_ELEM_EXPIRATION, uint64(max(e.Expires, shortest)/time.Millisecond))
	}
	w.userdata(e.Comment, info.Interval && !end.IsValid())
	w.endNest(item)
	if info.Interval && end.IsValid() {
		w.bound(end, true)
	}
	return nil
}

// bound writes an address alone, which may be the end of an interval.
func (w *writer) bound(addr netip.Addr, end bool) {
	item := w.nest(unix.NFTA_LIST_ELEM)
	if end {
		w.uint32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	}
	w.addr(addr)
	w.endNest(item)
}

// addr writes the key that an address is.
func (w *writer) addr(addr netip.Addr) {
	if addr.Is4() {
		key := addr.As4()
		w.key(key[:])
		return
	}
	key := addr.As16()
	w.key(key[:])
}

func (w *writer) key(key []byte) {
	nest := w.nest(unix.NFTA_SET_ELEM_KEY)
	w.bytes(unix.NFTA_DATA_VALUE, key)
	w.endNest(nest)
}

// shortest is the least timeout that the kernel is given: a tick where ticks are longest. It rounds down to ticks, and less
// than one would be none: the element would stay for ever.
const shortest = 10 * time.Millisecond

// timeout writes a timeout.
func (w *writer) timeout(d time.Duration) error {
	switch {
	case d < 0:
		return fmt.Errorf("negative timeout %s", d)
	case d > 0:
		w.uint64(unix.NFTA_SET_ELEM_TIMEOUT, uint64(max(d, shortest)/time.Millisecond))
	}
	return nil
}

// userdata writes what nft wants to know when it lists the element.
func (w *writer) userdata(comment string, open bool) {
	var data [2 + maxComment + 1 + 2 + 4]byte
	b := data[:0]
	if comment != "" {
		b = append(b, udataComment, byte(len(comment)+1))
		b = append(b, comment...)
		b = append(b, 0)
	}
	if open {
		b = append(b, udataFlags, 4)
		b = binary.NativeEndian.AppendUint32(b, udataIntervalOpen)
	}
	if len(b) > 0 {
		w.bytes(unix.NFTA_SET_ELEM_USERDATA, b)
	}
}
