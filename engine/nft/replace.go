package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Replace makes nf_tables hold what the image holds and nothing else, in one transaction. Elements with a timeout get what they
// had left less elapsed; those whose time is over are left out.
//
// A table that a running process owns cannot be changed by anybody else: it stays as it is. One whose owner is gone comes
// back without an owner, unless it was to persist: then the Client owns it until it is closed.
//
// ErrNotExist can mean that an interface of a chain or a flowtable is missing, see [Image.WithoutDevices].
func (c *Client) Replace(im *Image, elapsed time.Duration) error {
	return c.ReplaceExcept(im, elapsed, nil)
}

// ReplaceExcept is Replace, but tables for which stays reports true are left alone: they are neither deleted nor made.
func (c *Client) ReplaceExcept(im *Image, elapsed time.Duration, stays func(Table) bool) error {
	tables, err := list(c, unix.NFT_MSG_GETTABLE, unix.NFPROTO_UNSPEC, nil, decodeOwned)
	if err != nil && !errors.Is(err, ErrInterrupted) { // others who change rules all the time are no reason to give up
		return fmt.Errorf("replace the ruleset: list tables: %w", err)
	}
	owned := make(map[Table]bool)
	for _, t := range tables {
		owned[t.table] = t.owner != 0
	}
	tx := c.Begin()
	if stays == nil {
		stays = func(Table) bool { return false }
		tx.message(unix.NFT_MSG_DELTABLE, 0, op{verb: "delete all tables"})
		tx.end()
	} else {
		for t, owned := range owned {
			if !owned && !stays(t) {
				tx.DeleteTable(t)
			}
		}
	}
	im = im.without(func(r *record) bool { return owned[r.table] || stays(r.table) })
	im.write(tx, elapsed)
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("replace the ruleset: %w", err)
	}
	return nil
}

func decodeOwned(a answer) (record, error) {
	r := record{typ: unix.NFT_MSG_NEWTABLE, table: Table{Family: a.family}}
	return r, r.decode(a.attrs)
}

// without returns the image without what drop reports.
func (im *Image) without(drop func(*record) bool) *Image {
	return &Image{
		tables: keep(im.tables, drop), chains: keep(im.chains, drop), objects: keep(im.objects, drop),
		flowtables: keep(im.flowtables, drop), sets: keep(im.sets, drop), rules: keep(im.rules, drop),
	}
}

// write adds what makes the image to a transaction.
func (im *Image) write(tx *Tx, elapsed time.Duration) {
	for _, all := range [][]record{im.tables, im.chains, im.objects, im.flowtables} {
		for i := range all {
			tx.make(&all[i])
		}
	}
	for i := range im.sets {
		tx.makeSet(&im.sets[i], uint32(i+1), elapsed)
	}
	for _, r := range im.ruleOrder() {
		tx.make(r)
	}
}

// make adds the message that makes something.
func (tx *Tx) make(r *record) {
	flags := uint16(unix.NLM_F_CREATE)
	if r.typ == unix.NFT_MSG_NEWRULE {
		flags |= unix.NLM_F_APPEND
	}
	tx.message(r.typ, flags, op{verb: r.verb(), table: r.table, name: r.name})
	start := len(tx.w.b)
	tx.w.b = append(tx.w.b, r.attrs...)
	if r.typ == unix.NFT_MSG_NEWTABLE && r.flags&tablePersist == 0 {
		overwrite(tx.w.b[start:], unix.NFTA_TABLE_FLAGS, r.flags&^tableOwner)
	}
	if r.typ == unix.NFT_MSG_NEWRULE {
		tx.makeCompat(r)
	}
	tx.end()
}

// verb says what a message does, for errors.
func (r *record) verb() string {
	switch r.typ {
	case unix.NFT_MSG_NEWTABLE:
		return "add table"
	case unix.NFT_MSG_NEWCHAIN:
		return "add chain"
	case unix.NFT_MSG_NEWOBJ:
		return "add object"
	case unix.NFT_MSG_NEWFLOWTABLE:
		return "add flowtable"
	case unix.NFT_MSG_NEWSET:
		return "add set"
	}
	return "add a rule to chain"
}

// overwrite sets the number of an attribute, if it is there.
func overwrite(attrs []byte, typ uint16, v uint32) {
	if b := attr(attrs, typ); len(b) == 4 {
		binary.BigEndian.PutUint32(b, v)
	}
}

// makeCompat adds to a rule of iptables-nft what the kernel does not list.
func (tx *Tx) makeCompat(r *record) {
	extended := false
	for _, e := range r.expressions() {
		extended = extended || e.name == exprMatch || e.name == exprTarget
	}
	if !extended {
		return
	}
	proto, not, ok := r.compat()
	if !ok {
		return
	}
	flags := uint32(0)
	if not {
		flags = unix.NFT_RULE_COMPAT_F_INV
	}
	nest := tx.w.nest(unix.NFTA_RULE_COMPAT)
	tx.w.uint32(unix.NFTA_RULE_COMPAT_PROTO, proto)
	tx.w.uint32(unix.NFTA_RULE_COMPAT_FLAGS, flags)
	tx.w.endNest(nest)
}

// makeSet adds the messages that make a set with its elements.
func (tx *Tx) makeSet(s *record, id uint32, elapsed time.Duration) {
	tx.message(s.typ, unix.NLM_F_CREATE, op{verb: s.verb(), table: s.table, name: s.name})
	tx.w.b = append(tx.w.b, s.attrs...)
	tx.w.uint32(unix.NFTA_SET_ID, id) // the kernel insists on one
	tx.end()
	left := s.left(elapsed)
	for len(left) > 0 {
		tx.message(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, op{verb: "add elements to set", table: s.table, name: s.name})
		left = tx.w.elementList(s, left)
		tx.end()
	}
}

// elementList writes as many elements as one attribute holds and returns the others.
func (w *writer) elementList(s *record, elements [][]byte) [][]byte {
	w.string(unix.NFTA_SET_ELEM_LIST_TABLE, s.table.Name)
	w.string(unix.NFTA_SET_ELEM_LIST_SET, s.name)
	list := w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	n := 0
	for n < len(elements) && (n == 0 || len(w.b)-list+attrLen+len(elements[n]) <= maxList) {
		w.bytes(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, elements[n])
		n++
	}
	w.endNest(list)
	return elements[n:]
}

// left returns the elements that are left when elapsed has passed, with what is left of their time.
func (r *record) left(elapsed time.Duration) [][]byte {
	out := make([][]byte, 0, len(r.elements))
	gone := false // the interval that the next end belongs to
	for _, b := range r.elements {
		k, err := decodeKey(b)
		if err != nil || k.end && gone && r.ranged() {
			gone = false
			continue
		}
		gone = false
		if k.expires == 0 {
			out = append(out, b)
			continue
		}
		past := uint64(max(elapsed, 0) / time.Millisecond)
		if gone = k.expires <= past; gone {
			continue
		}
		b = append([]byte(nil), b...)
		binary.BigEndian.PutUint64(attr(b, unix.NFTA_SET_ELEM_EXPIRATION), k.expires-past)
		out = append(out, b)
	}
	return out
}

// ruleOrder returns the rules such that a chain that has no name but stands in a rule is full before that rule: from then on
// the kernel takes nothing more for it.
func (im *Image) ruleOrder() []*record {
	type chain struct {
		table Table
		name  string
	}
	rules := make(map[chain][]*record)
	for i := range im.rules {
		c := chain{im.rules[i].table, im.rules[i].name}
		rules[c] = append(rules[c], &im.rules[i])
	}
	inner := make(map[chain]bool) // not written yet
	for i := range im.chains {
		if im.chains[i].flags&chainBinding != 0 {
			inner[chain{im.chains[i].table, im.chains[i].name}] = true
		}
	}
	out := make([]*record, 0, len(im.rules))
	var write func(c chain)
	write = func(c chain) {
		for _, r := range rules[c] {
			for _, e := range r.expressions() {
				if to := (chain{c.table, e.target()}); inner[to] {
					delete(inner, to)
					write(to)
				}
			}
			out = append(out, r)
		}
		delete(rules, c)
	}
	for i := range im.chains {
		if c := (chain{im.chains[i].table, im.chains[i].name}); im.chains[i].flags&chainBinding == 0 {
			write(c)
		}
	}
	for i := range im.rules { // of no chain in the image: the kernel says what is wrong with it
		write(chain{im.rules[i].table, im.rules[i].name})
	}
	return out
}
