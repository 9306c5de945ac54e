package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A Tx gathers operations that Commit sends as one kernel transaction: all of them happen, at once, or none. The
// operations see what those before them in the same transaction did. A Tx is for one goroutine and one Commit.
//
// What cannot be encoded, such as an IPv6 address for a set of IPv4 addresses, or a set that does not exist, is
// reported by Commit, which then sends nothing.
type Tx struct {
	c     *Client
	w     writer
	ops   []op // the operation of each message; a message's sequence number is its place here
	sets  map[setName]SetInfo
	err   error
	spent bool

	exclusive uint16 // NLM_F_EXCL while what is added must not be there
}

// An op is what a message is for, told if the kernel refuses it.
type op struct {
	verb  string
	table Table
	name  string // of what is in the table, "" for the table itself
	start int    // of its message in the buffer
	addrs bool   // its elements are addresses
}

func (o op) String() string {
	switch {
	case o.table == Table{}:
		return o.verb
	case o.name == "":
		return o.verb + " " + o.table.String()
	}
	return o.verb + " " + o.name + " in table " + o.table.String()
}

type setName struct {
	table Table
	set   string
}

// Begin starts an empty transaction. One that is not committed costs nothing and needs no cleaning up.
func (c *Client) Begin() *Tx {
	tx := &Tx{c: c, w: writer{b: make([]byte, 0, 256)}, ops: make([]op, 0, 4)}
	tx.reset()
	return tx
}

// reset makes an empty transaction of one that was committed, in the same memory.
func (tx *Tx) reset() {
	tx.w.b, tx.ops, tx.spent = tx.w.b[:0], tx.ops[:0], false
	tx.batch(unix.NFNL_MSG_BATCH_BEGIN, "begin transaction")
}

// message starts a message for an operation.
func (tx *Tx) message(typ, flags uint16, o op) {
	o.start = tx.w.begin(message(typ), flags, uint32(len(tx.ops)), o.table.Family, 0)
	tx.ops = append(tx.ops, o)
}

// end ends the message that was started last.
func (tx *Tx) end() { tx.w.end(tx.ops[len(tx.ops)-1].start) }

// batch writes the message that a transaction begins or ends with.
func (tx *Tx) batch(typ uint16, verb string) {
	start := tx.w.begin(typ, 0, uint32(len(tx.ops)), unix.NFPROTO_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	tx.ops = append(tx.ops, op{verb: verb, start: start})
	tx.end()
}

func (tx *Tx) fail(o op, err error) {
	if tx.err == nil {
		tx.err = fmt.Errorf("%s: %w", o, err)
	}
}

// FlushSet deletes all elements of a set. While the kernel is enlarging a hash set, it may miss some: read back what matters.
func (tx *Tx) FlushSet(t Table, set string) {
	tx.message(unix.NFT_MSG_DELSETELEM, 0, op{verb: "flush set", table: t, name: set})
	tx.w.string(unix.NFTA_SET_ELEM_LIST_TABLE, t.Name)
	tx.w.string(unix.NFTA_SET_ELEM_LIST_SET, set)
	tx.end()
}

// DeleteSet deletes a set with its elements. One that a rule uses fails the transaction with ErrBusy.
func (tx *Tx) DeleteSet(t Table, set string) {
	tx.message(unix.NFT_MSG_DELSET, 0, op{verb: "delete set", table: t, name: set})
	tx.w.string(unix.NFTA_SET_TABLE, t.Name)
	tx.w.string(unix.NFTA_SET_NAME, set)
	tx.end()
}

// DeleteRule deletes the rule that has the handle, see [Client.Rules].
func (tx *Tx) DeleteRule(t Table, chain string, handle uint64) {
	tx.message(unix.NFT_MSG_DELRULE, 0, op{verb: fmt.Sprintf("delete rule %d from chain", handle), table: t, name: chain})
	tx.w.string(unix.NFTA_RULE_TABLE, t.Name)
	tx.w.string(unix.NFTA_RULE_CHAIN, chain)
	tx.w.uint64(unix.NFTA_RULE_HANDLE, handle)
	tx.end()
}

// DeleteTable deletes a table with all that is in it.
func (tx *Tx) DeleteTable(t Table) {
	tx.message(unix.NFT_MSG_DELTABLE, 0, op{verb: "delete table", table: t})
	tx.w.string(unix.NFTA_TABLE_NAME, t.Name)
	tx.end()
}

// Commit sends the operations as one kernel transaction and returns when it is in force. An error means that
// nothing changed; it names the operation, and the element on kernels that tell. A Tx without operations does nothing.
//
// The kernel takes a transaction in one piece. For a process that has CAP_NET_ADMIN only in a user namespace, its size is limited
// to twice net.core.wmem_max: 8 MiB, or some 250,000 hosts with a timeout, where that is 4 MiB, and on many machines only
// 416 KiB. Others have no limit. Commit returns ErrTooBig beyond it.
func (tx *Tx) Commit() error {
	switch {
	case tx.spent:
		return errors.New("commit: the transaction was committed before")
	case tx.err != nil:
		return tx.err
	}
	tx.spent = true
	last := len(tx.ops) - 1
	if last == 0 {
		return nil
	}
	tx.acknowledge(tx.ops[last].start)
	tx.batch(unix.NFNL_MSG_BATCH_END, "end transaction")
	return tx.c.write.transact(tx, uint32(last))
}

// acknowledge asks the kernel to answer the message at start even if it is fine, so that silence is never success.
func (tx *Tx) acknowledge(start int) {
	flags := tx.w.b[start+6:] // linux/netlink.h: struct nlmsghdr, nlmsg_flags
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
}
