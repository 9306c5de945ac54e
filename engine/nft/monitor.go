package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// A Change is a transaction that took place.
type Change struct {
	// GenID is the number of the ruleset generation that it made, as [Client.GenID] returns it.
	GenID uint32
	// PID and Process are the thread that committed it, as the first pid namespace numbers it, and its name ("nft").
	PID     int
	Process string
	// Own means that an nft command did it which this Client ran.
	Own bool
	// Events are what happened, in order, of which only the first 1,000 are kept; More counts the others.
	Events []Event
	More   int
	// Overrun means that notifications were lost because they came faster than Next was called. Nothing is
	// known then: look at the ruleset itself. The other fields are empty.
	Overrun bool
}

// An Event is one thing that a transaction did.
type Event struct {
	// Object is "table", "chain", "rule", "set", "element", "object" or "flowtable".
	Object  string
	Deleted bool // otherwise it was added, or changed
	Table   Table
	// Name is that of the chain, set, object or flowtable: for a rule its chain's, for an element its set's, for a table "".
	Name string
}

// maxEvents is how many events a Change holds: others' transactions may have millions.
const maxEvents = 1000

// A Monitor receives what happens to nf_tables in the Client's network namespace, whoever does it, except for the Client's own
// transactions ([Tx.Commit]), which the kernel keeps from it. Elements that expire are not notified.
type Monitor struct {
	c      *Client
	conn   *conn
	change Change   // that is being received
	ready  []Change // received and not yet returned
}

// Monitor starts to receive. Nothing after its return is missed. The caller closes the Monitor.
func (c *Client) Monitor() (*Monitor, error) {
	m := &Monitor{c: c}
	err := c.atHome(func() (err error) {
		m.conn, err = dial()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("monitor nf_tables: %w", err)
	}
	if err := m.join(); err != nil {
		m.Close()
		return nil, fmt.Errorf("monitor nf_tables: %w", err)
	}
	return m, nil
}

func (m *Monitor) join() error {
	const room = 8 << 20 // for some 10,000 notifications while the caller is busy
	filter, err := without(m.c.write.sock.PID())
	if err != nil {
		return err
	}
	if err := m.conn.sock.SetBPF(filter); err != nil {
		return err
	}
	if err := m.conn.sock.SetReadBuffer(room); err != nil {
		return err
	}
	return m.conn.sock.JoinGroup(unix.NFNLGRP_NFTABLES)
}

// Close ends the monitor. A call of Next that waits returns an error.
func (m *Monitor) Close() error { return m.conn.sock.Close() }

// Next waits for the next change and returns it, or the cause of the end of ctx. It is for one goroutine at a time.
func (m *Monitor) Next(ctx context.Context) (Change, error) {
	stop := context.AfterFunc(ctx, func() { m.conn.sock.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for len(m.ready) == 0 {
		b, err := m.conn.receive(true)
		switch {
		case ctx.Err() != nil:
			return Change{}, context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded): // set when the context of an earlier call ended
			m.conn.sock.SetReadDeadline(time.Time{})
			continue
		case errors.Is(err, unix.ENOBUFS):
			return m.overrun()
		case err != nil:
			return Change{}, fmt.Errorf("monitor nf_tables: %w", err)
		}
		if err := m.take(b); err != nil {
			return Change{}, fmt.Errorf("monitor nf_tables: %w", err)
		}
	}
	change := m.ready[0]
	m.ready = m.ready[1:]
	return change, nil
}

// overrun throws away what is still waiting. The kernel delivers nothing more until all of that is read, and tells only once
// that it lost something, so a caller who looks at the ruleset after an earlier return could miss a change.
func (m *Monitor) overrun() (Change, error) {
	m.change = Change{}
	for {
		b, err := m.conn.receive(false)
		switch {
		case errors.Is(err, unix.ENOBUFS):
		case err != nil:
			return Change{}, fmt.Errorf("monitor nf_tables: %w", err)
		case b == nil:
			return Change{Overrun: true}, nil
		}
	}
}

// take adds a datagram to the change that is being received, which is complete when its generation is announced.
func (m *Monitor) take(b []byte) error {
	return messages(b, func(a answer) error {
		if a.typ == message(unix.NFT_MSG_NEWGEN) {
			if err := m.change.decodeGen(a); err != nil {
				return err
			}
			m.change.Own = m.c.mine.has(a.port)
			m.ready = append(m.ready, m.change)
			m.change = Change{}
			return nil
		}
		e, ok, err := decodeEvent(a)
		switch {
		case err != nil || !ok:
			return err
		case len(m.change.Events) == maxEvents:
			m.change.More++
		default:
			m.change.Events = append(m.change.Events, e)
		}
		return nil
	})
}

func (change *Change) decodeGen(a answer) error {
	r := reader{b: a.attrs}
	for r.next() {
		switch r.typ {
		case unix.NFTA_GEN_ID:
			change.GenID = r.uint32()
		case unix.NFTA_GEN_PROC_PID:
			change.PID = int(r.uint32())
		case unix.NFTA_GEN_PROC_NAME:
			change.Process = r.string()
		}
	}
	return r.err
}

// decodeEvent reads a notification. Other messages are not ok.
func decodeEvent(a answer) (e Event, ok bool, err error) {
	nameAttr := uint16(2) // NFTA_RULE_CHAIN, NFTA_SET_NAME, NFTA_SET_ELEM_LIST_SET, NFTA_OBJ_NAME, NFTA_FLOWTABLE_NAME
	switch a.typ {
	case message(unix.NFT_MSG_NEWTABLE), message(unix.NFT_MSG_DELTABLE):
		e.Object, nameAttr = "table", 0
	case message(unix.NFT_MSG_NEWCHAIN), message(unix.NFT_MSG_DELCHAIN):
		e.Object, nameAttr = "chain", unix.NFTA_CHAIN_NAME
	case message(unix.NFT_MSG_NEWRULE), message(unix.NFT_MSG_DELRULE):
		e.Object = "rule"
	case message(unix.NFT_MSG_NEWSET), message(unix.NFT_MSG_DELSET):
		e.Object = "set"
	case message(unix.NFT_MSG_NEWSETELEM), message(unix.NFT_MSG_DELSETELEM):
		e.Object = "element"
	case message(unix.NFT_MSG_NEWOBJ), message(unix.NFT_MSG_DELOBJ):
		e.Object = "object"
	case message(unix.NFT_MSG_NEWFLOWTABLE), message(unix.NFT_MSG_DELFLOWTABLE):
		e.Object = "flowtable"
	default:
		return Event{}, false, nil
	}
	switch a.typ & 0xff {
	case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET,
		unix.NFT_MSG_DELSETELEM, unix.NFT_MSG_DELOBJ, unix.NFT_MSG_DELFLOWTABLE:
		e.Deleted = true
	}
	e.Table.Family = a.family
	r := reader{b: a.attrs}
	for r.next() {
		switch r.typ {
		case 1: // NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, and so on for all objects
			e.Table.Name = r.string()
		case nameAttr:
			e.Name = r.string()
		}
	}
	return e, r.err == nil, r.err
}

// without returns a socket filter that drops the notifications about transactions from a netlink port. All messages
// in a datagram come from one transaction.
func without(port uint32) ([]bpf.RawInstruction, error) {
	const portOffset = 12 // linux/netlink.h: struct nlmsghdr, nlmsg_pid
	// The filter reads numbers as big endian ones.
	want := binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, port))
	return bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: portOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: want, SkipFalse: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 1<<32 - 1},
	})
}

// mine remembers the netlink ports of the nft commands that the Client ran last: a command's port is its process id.
type mine struct {
	mu    sync.Mutex
	ports [32]uint32
	next  int
}

// start starts an nft command. Nobody asks meanwhile whose the port is.
func (m *mine) start(cmd *exec.Cmd) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	m.ports[m.next] = uint32(cmd.Process.Pid)
	m.next = (m.next + 1) % len(m.ports)
	return nil
}

func (m *mine) has(port uint32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.ports {
		if p == port && port != 0 {
			return true
		}
	}
	return false
}
