package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// nftRun has the nft command execute a text in the namespace of this process.
func nftRun(ctx context.Context, text string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// bareTable is where the anchors put their elements.
const (
	bareTable = "bare"
	bareName  = "held"
)

// bareSet loads addresses into a set as fast as netlink takes them: messages
// that are patterns with the address filled in, and as many in one transaction as
// the socket takes. An address is a number: in a set of IPv6 addresses the second
// half of a /64, see addr6.
type bareSet struct {
	v6       bool
	interval bool
	timeout  time.Duration
	expires  time.Duration // what is left of the timeout; 0 for all of it
	comment  string
}

// declare makes the set, like one of the same kind of Moonlatch's.
func (s bareSet) declare(ctx context.Context, size int) error {
	var flags []string
	if s.interval {
		flags = append(flags, "interval")
	}
	if s.timeout > 0 {
		flags = append(flags, "timeout")
	}
	family := "ipv4"
	if s.v6 {
		family = "ipv6"
	}
	text := fmt.Sprintf("table inet %s { set %s { type %s_addr;", bareTable, bareName, family)
	if len(flags) > 0 {
		text += " flags " + strings.Join(flags, ",") + ";"
	}
	if size > 0 {
		text += fmt.Sprintf(" size %d;", size)
	}
	return nftRun(ctx, text+" }; }")
}

// The kernel's numbers, linux/netfilter/nf_tables.h.
const (
	newElements = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWSETELEM
	batchBegin  = unix.NFNL_MSG_BATCH_BEGIN
	batchEnd    = unix.NFNL_MSG_BATCH_END

	wantTransaction = 2 << 20 // bytes
	mostList        = 60_000  // bytes, of an attribute whose length has 16 bits
)

// pattern is an element, or both ends of an interval, and where in it the address
// stands, and that after it, which is 0 where there is none.
type pattern struct {
	bytes       []byte
	first, last int
}

func (s bareSet) pattern() pattern {
	var rest []byte
	if s.timeout > 0 {
		rest = append(rest, attribute(unix.NFTA_SET_ELEM_TIMEOUT, be64(uint64(s.timeout/time.Millisecond)))...)
	}
	if s.expires > 0 {
		rest = append(rest, attribute(unix.NFTA_SET_ELEM_EXPIRATION, be64(uint64(s.expires/time.Millisecond)))...)
	}
	if s.comment != "" { // as nft keeps one: type 0, length, text
		rest = append(rest, attribute(unix.NFTA_SET_ELEM_USERDATA, []byte{0, byte(len(s.comment) + 1)}, text(s.comment))...)
	}
	address, keyAt := be32(0), 4+4+4 // behind three headers
	if s.v6 {
		address = addr6(0).AsSlice()
		keyAt += 4
	}
	key := attribute(unix.NFTA_SET_ELEM_KEY|nested, attribute(unix.NFTA_DATA_VALUE, address))
	p := pattern{bytes: attribute(unix.NFTA_LIST_ELEM|nested, key, rest), first: keyAt}
	if s.interval {
		flags := attribute(unix.NFTA_SET_ELEM_FLAGS, be32(unix.NFT_SET_ELEM_INTERVAL_END))
		p.last = len(p.bytes) + len(flags) + keyAt
		p.bytes = append(p.bytes, attribute(unix.NFTA_LIST_ELEM|nested, flags, key)...)
	}
	return p
}

// load puts n addresses into the set and returns how long that took.
func (s bareSet) load(ctx context.Context, n int, address func(i int) uint32) (time.Duration, error) {
	fd, err := netlinkSocket(2 * wantTransaction)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	granted, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		return 0, fmt.Errorf("netlink socket: %w", err)
	}
	room := min(wantTransaction, granted-mostList-4096)
	p := s.pattern()
	b := make([]byte, 0, room+mostList+4096)
	start := time.Now()
	for done := 0; done < n; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		var used int
		b, used = p.transaction(b[:0], room, n-done, func(i int) uint32 { return address(done + i) })
		if err := exchange(fd, b); err != nil {
			return 0, fmt.Errorf("load %d elements: %w", n, err)
		}
		done += used
	}
	return time.Since(start), nil
}

// transaction appends a transaction with up to n addresses, as many as room bytes hold, and returns how many those are.
func (p pattern) transaction(b []byte, room, n int, address func(i int) uint32) (out []byte, used int) {
	b = append(b, request(batchBegin, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)...)
	last := 0
	for used < n && len(b) < room {
		last = len(b)
		b = append(b, request(newElements, unix.NLM_F_CREATE, unix.NFPROTO_INET, 0,
			attribute(unix.NFTA_SET_ELEM_LIST_TABLE, text(bareTable)), attribute(unix.NFTA_SET_ELEM_LIST_SET, text(bareName)))...)
		list := len(b)
		b = append(b, attribute(unix.NFTA_SET_ELEM_LIST_ELEMENTS|nested)...)
		for ; used < n && len(b)-list < mostList; used++ {
			b = p.element(b, address(used))
		}
		binary.NativeEndian.PutUint16(b[list:], uint16(len(b)-list))
		binary.NativeEndian.PutUint32(b[last:], uint32(len(b)-last))
	}
	b[last+6] |= unix.NLM_F_ACK // in the message's flags
	return append(b, request(batchEnd, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)...), used
}

// element appends the pattern with its address.
func (p pattern) element(b []byte, address uint32) []byte {
	at := len(b)
	b = append(b, p.bytes...)
	binary.BigEndian.PutUint32(b[at+p.first:], address)
	if p.last > 0 {
		binary.BigEndian.PutUint32(b[at+p.last:], address+1)
	}
	return b
}
