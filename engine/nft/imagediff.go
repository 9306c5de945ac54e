package nft

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// fleeting is what an element must have left, in milliseconds, for Diff to miss it.
const fleeting = 60_000

// Diff says what the other image lacks or has otherwise, nil if nothing. Counters, quotas used, what is left of timeouts, and
// elements that have less than a minute left do not count, nor do owners of tables, and in which piece of hardware a rule works.
func (im *Image) Diff(other *Image) error {
	a, b := im.contents(), other.contents()
	for _, what := range slices.Sorted(maps.Keys(a)) {
		got, ok := b[what]
		switch {
		case !ok && !a[what].fleeting:
			return fmt.Errorf("%s is missing", what)
		case ok && !bytes.Equal(got.b, a[what].b):
			return fmt.Errorf("%s is not the same", what)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[what]; !ok {
			return fmt.Errorf("%s should not be there", what)
		}
	}
	return nil
}

// content is what matters of one thing in an image.
type content struct {
	b        []byte
	fleeting bool
}

// contents returns what is in an image by its name for people.
func (im *Image) contents() map[string]content {
	out := make(map[string]content)
	place := make(map[string]int) // how many rules their chain had before
	for _, all := range [][]record{im.tables, im.chains, im.objects, im.flowtables, im.sets} {
		for i := range all {
			r := &all[i]
			out[r.title()] = content{b: r.lasting()}
			for _, b := range r.elements {
				title, c := r.lastingElement(b)
				out[title] = c
			}
		}
	}
	for i := range im.rules {
		title := im.rules[i].title()
		place[title]++
		out[fmt.Sprintf("rule %d of %s", place[title], title)] = content{b: im.rules[i].lasting()}
	}
	return out
}

func (r *record) title() string {
	kind := "table"
	switch r.typ {
	case unix.NFT_MSG_NEWTABLE:
		return "table " + r.table.String()
	case unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_NEWRULE:
		kind = "chain"
	case unix.NFT_MSG_NEWOBJ:
		kind = fmt.Sprintf("object (type %d)", r.kind)
	case unix.NFT_MSG_NEWFLOWTABLE:
		kind = "flowtable"
	case unix.NFT_MSG_NEWSET:
		kind = "set"
	}
	return fmt.Sprintf("%s %s %s", kind, r.table, r.name)
}

// lasting returns the attributes without what changes by itself.
func (r *record) lasting() []byte {
	out := make([]byte, 0, len(r.attrs))
	for in := (reader{b: r.attrs}); in.next(); {
		switch {
		case r.typ == unix.NFT_MSG_NEWTABLE && in.typ == unix.NFTA_TABLE_FLAGS:
			out = append(out, byte(r.flags&tableDormant))
		case r.typ == unix.NFT_MSG_NEWCHAIN && in.typ == nftaChainFlags:
			out = append(out, byte(r.flags&^chainOffload))
		case r.typ == unix.NFT_MSG_NEWFLOWTABLE && in.typ == nftaFlowtableFlags:
		case r.typ == unix.NFT_MSG_NEWCHAIN && in.typ == unix.NFTA_CHAIN_COUNTERS:
		case r.typ == unix.NFT_MSG_NEWOBJ && in.typ == unix.NFTA_OBJ_DATA && counts(r.kind):
		case r.typ == unix.NFT_MSG_NEWRULE && in.typ == unix.NFTA_RULE_EXPRESSIONS:
			for _, e := range r.expressions() {
				out = append(append(out, e.name...), e.lasting()...)
			}
		default:
			out = in.appendTo(out)
		}
	}
	return out
}

// counts reports whether an object's data change by themselves.
func counts(kind uint32) bool {
	return kind == unix.NFT_OBJECT_COUNTER || kind == unix.NFT_OBJECT_QUOTA
}

// lasting returns what the expression says, nothing if that changes by itself or is numbered anew.
func (e expr) lasting() []byte {
	switch {
	case e.name == "counter", e.name == "quota", e.name == "last", len(e.ipsets()) > 0:
		return nil
	}
	return e.data
}

// lastingElement names an element of a set and returns what matters of it.
func (r *record) lastingElement(b []byte) (string, content) {
	var c content
	for in := (reader{b: b}); in.next(); {
		switch in.typ {
		case unix.NFTA_SET_ELEM_EXPIRATION:
			c.fleeting = len(in.data) == 8 && in.uint64() < fleeting
		case unix.NFTA_SET_ELEM_EXPR, nftaSetElemExpressions:
		default:
			c.b = in.appendTo(c.b)
		}
	}
	key, _ := decodeKey(b) // it was decoded before
	return fmt.Sprintf("element %x (end %t) of %s", key.key, key.end, r.title()), c
}
