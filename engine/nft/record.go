package nft

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// linux/netfilter/nf_tables.h, newer than our copy.
const (
	nftaTableHandle        = 4
	nftaTableOwner         = 7
	nftaChainFlags         = 10
	nftaChainID            = 11
	nftaSetHandle          = 16
	nftaSetType            = 19
	nftaObjHandle          = 6
	nftaFlowtableHook      = 3
	nftaFlowtableUse       = 4
	nftaFlowtableHandle    = 5
	nftaFlowtableFlags     = 7
	nftaSetElemExpressions = 11
	nftaHookDevs           = 4
	nftaDeviceName         = 1
	nftaFlowtableHookDevs  = 3

	tableDormant    = 1 << 0 // NFT_TABLE_F_DORMANT
	tableOwner      = 1 << 1 // NFT_TABLE_F_OWNER
	tablePersist    = 1 << 2 // NFT_TABLE_F_PERSIST
	chainOffload    = 1 << 1 // NFT_CHAIN_HW_OFFLOAD
	chainBinding    = 1 << 2 // NFT_CHAIN_BINDING
	setConcat       = 1 << 7 // NFT_SET_CONCAT
	elementCatchall = 1 << 1 // NFT_SET_ELEM_CATCHALL
)

// decided reports whether an attribute is one that the kernel decides and refuses, or would misread, if it were sent back to it.
func decided(message, attr uint16) bool {
	switch message {
	case unix.NFT_MSG_NEWTABLE:
		return attr == unix.NFTA_TABLE_USE || attr == nftaTableHandle || attr == nftaTableOwner
	case unix.NFT_MSG_NEWCHAIN:
		return attr == unix.NFTA_CHAIN_HANDLE || attr == unix.NFTA_CHAIN_USE || attr == nftaChainID
	case unix.NFT_MSG_NEWRULE:
		return attr == unix.NFTA_RULE_HANDLE || attr == unix.NFTA_RULE_POSITION || attr == unix.NFTA_RULE_ID
	case unix.NFT_MSG_NEWSET:
		return attr == unix.NFTA_SET_ID || attr == nftaSetHandle || attr == nftaSetType || attr == nftaSetCount
	case unix.NFT_MSG_NEWOBJ:
		return attr == unix.NFTA_OBJ_USE || attr == nftaObjHandle
	case unix.NFT_MSG_NEWFLOWTABLE:
		return attr == nftaFlowtableUse || attr == nftaFlowtableHandle
	}
	return false
}

// decode takes in the attributes of a message.
func (r *record) decode(attrs []byte) error {
	clean := make([]byte, 0, len(attrs))
	in := reader{b: attrs}
	for in.next() {
		if r.typ == unix.NFT_MSG_NEWTABLE && in.typ == nftaTableOwner {
			r.owner = in.uint32()
		}
		if decided(r.typ, in.typ) {
			continue
		}
		clean = in.appendTo(clean)
		if err := r.note(&in); err != nil {
			return err
		}
	}
	if in.err != nil {
		return in.err
	}
	r.attrs = clean
	named := r.typ == unix.NFT_MSG_NEWTABLE || r.name != ""
	if r.table.Name == "" || !named {
		return fmt.Errorf("%w: without a name", errMalformed)
	}
	return nil
}

// note remembers what an attribute tells about the record. All messages but a table's begin with the table's name, and have the
// thing's own, or a rule's chain, as the second or, for chains, the third.
func (r *record) note(in *reader) error {
	switch {
	case in.typ == 1:
		r.table.Name = in.string()
	case r.typ == unix.NFT_MSG_NEWTABLE && in.typ == unix.NFTA_TABLE_FLAGS,
		r.typ == unix.NFT_MSG_NEWCHAIN && in.typ == nftaChainFlags,
		r.typ == unix.NFT_MSG_NEWSET && in.typ == unix.NFTA_SET_FLAGS:
		r.flags = in.uint32()
	case r.typ == unix.NFT_MSG_NEWCHAIN && in.typ == unix.NFTA_CHAIN_NAME,
		r.typ != unix.NFT_MSG_NEWCHAIN && r.typ != unix.NFT_MSG_NEWTABLE && in.typ == 2:
		r.name = in.string()
	case r.typ == unix.NFT_MSG_NEWOBJ && in.typ == unix.NFTA_OBJ_TYPE:
		r.kind = in.uint32()
	case r.typ == unix.NFT_MSG_NEWCHAIN:
		return r.noteHook(in)
	case r.typ == unix.NFT_MSG_NEWFLOWTABLE && in.typ == nftaFlowtableHook:
		return r.noteDevices(in.data, nftaFlowtableHookDevs)
	}
	return in.err
}

// noteDevices collects the names of interfaces under an attribute of a hook.
func (r *record) noteDevices(hook []byte, devs uint16) error {
	in := reader{b: hook}
	for in.next() {
		if in.typ != devs {
			continue
		}
		names := reader{b: in.data}
		for names.next() {
			if names.typ == nftaDeviceName && names.string() != "" {
				r.devices = append(r.devices, names.string())
			}
		}
		if names.err != nil {
			return names.err
		}
	}
	return in.err
}

// appendTo appends the attribute that next returned last, with its head and padding.
func (r *reader) appendTo(b []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrLen+len(r.data)))
	b = binary.NativeEndian.AppendUint16(b, r.raw)
	b = append(b, r.data...)
	for len(b)%unix.NLA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

// An elementKey is what an element of an image is found by.
type elementKey struct {
	key      []byte // its attribute
	end      bool
	catchall bool
	expires  uint64 // milliseconds; 0 if it stays
}

func decodeKey(b []byte) (elementKey, error) {
	var k elementKey
	r := reader{b: b}
	for r.next() {
		switch r.typ {
		case unix.NFTA_SET_ELEM_KEY:
			k.key = r.data
		case unix.NFTA_SET_ELEM_FLAGS:
			flags := r.uint32()
			k.end, k.catchall = flags&unix.NFT_SET_ELEM_INTERVAL_END != 0, flags&elementCatchall != 0
		case unix.NFTA_SET_ELEM_EXPIRATION:
			k.expires = max(r.uint64(), 1)
		}
	}
	return k, r.err
}

// compare orders elements as an interval set takes them: by key, an end before the start at the same place.
func (k elementKey) compare(other elementKey) int {
	if k.catchall != other.catchall {
		return cmp.Compare(order(!k.catchall), order(!other.catchall))
	}
	if c := bytes.Compare(k.key, other.key); c != 0 {
		return c
	}
	return cmp.Compare(order(k.end), order(other.end))
}

// empty reports whether the key is all zero: nft marks the space before the first interval by an end there.
func (k elementKey) empty() bool {
	return len(k.key) > attrLen && len(bytes.Trim(k.key[attrLen:], "\x00")) == 0
}

// ranged reports whether the set's elements are the starts and the ends of intervals.
func (r *record) ranged() bool { return r.flags&unix.NFT_SET_INTERVAL != 0 && r.flags&setConcat == 0 }

// order sorts the elements of a set that was just listed, and returns ErrInterrupted if one came twice, for which another did
// not come. The ends of intervals whose start has expired are left out.
func (r *record) order() error {
	if r.flags&setConcat != 0 { // listed, and told apart, in the order of adding
		return nil
	}
	type keyed struct {
		elementKey
		b []byte
	}
	all := make([]keyed, len(r.elements))
	for i, b := range r.elements {
		k, err := decodeKey(b)
		if err != nil {
			return err
		}
		all[i] = keyed{k, b}
	}
	slices.SortStableFunc(all, func(a, b keyed) int { return a.compare(b.elementKey) })
	r.elements = r.elements[:0]
	open := false
	for i, e := range all {
		if i > 0 && e.compare(all[i-1].elementKey) == 0 {
			return ErrInterrupted
		}
		if r.ranged() && e.end && !open && !e.empty() {
			continue
		}
		open = !e.end
		r.elements = append(r.elements, e.b)
	}
	return nil
}
