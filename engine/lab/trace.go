package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// step is one trace message of the kernel's: a rule that matched, a return from a
// base chain, or the policy of one.
type step struct {
	family       uint8 // NFPROTO_*
	table, chain string
	kind         uint32 // traceRule, traceReturn or tracePolicy
	handle       uint64
	verdict      int32  // one of the kernel's, of a rule or of a policy
	target       string // of a jump or a goto
	headerReader        // the packet, once a base chain
}

// linux/netfilter/nf_tables.h: enum nft_trace_types.
const (
	tracePolicy = 1
	traceReturn = 2
	traceRule   = 3
)

// Verdicts: linux/netfilter.h, and enum nft_verdicts of linux/netfilter/nf_tables.h.
const (
	verdictDrop   = 0
	verdictAccept = 1
	verdictStolen = 2
	verdictQueue  = 3
	verdictJump   = -3
	verdictGoto   = -4
	verdictReturn = -5
)

// Attributes: linux/netfilter/nf_tables.h, enum nft_trace_attributes.
const (
	traceTable   = 1
	traceChain   = 2
	traceHandle  = 3
	traceKind    = 4
	traceVerdict = 5
	tracePolicyV = 16

	verdictCode  = 1 // enum nft_verdict_attributes
	verdictChain = 2
)

// final reports whether the packet went no further.
func (s step) final() bool {
	return s.verdict == verdictDrop || s.verdict == verdictStolen || s.verdict == verdictQueue
}

// The sizes of struct nlmsghdr, struct nfgenmsg and struct nlattr: linux/netlink.h, linux/netfilter/nfnetlink.h.
const (
	messageSize   = 16
	genmsgSize    = 4
	attributeSize = 4
)

// tracer reads what the kernel traces. Its socket blocks: the thread is the lab's own, and what it
// reads is there already, most of the time.
type tracer struct {
	fd    int
	buf   [1 << 14]byte
	names map[string]string // of tables and chains, which come with every step
	brief bool              // leaves out what the steps tell of the packet
}

// openTracer listens from here on.
func openTracer() (*tracer, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	t := &tracer{fd: fd, names: map[string]string{}}
	const room = 4 << 20
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room) // best effort: what is traced at once is little
	wait := unix.NsecToTimeval(patience.Nanoseconds())
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.NFNLGRP_NFTRACE),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return t, nil
}

func (t *tracer) close() { unix.Close(t.fd) }

// read waits for a datagram of traces, and calls each with their steps until it has enough.
func (t *tracer) read(each func(step) (enough bool)) (enough bool, err error) {
	n, _, err := unix.Recvfrom(t.fd, t.buf[:], 0)
	for err == unix.EINTR {
		n, _, err = unix.Recvfrom(t.fd, t.buf[:], 0)
	}
	if err == unix.EAGAIN {
		return false, errors.New("the kernel traces nothing: does it have nf_tables' tracing (CONFIG_NETFILTER_NETLINK)?")
	}
	if err != nil {
		return false, fmt.Errorf("read traces: %w", err)
	}
	for b := t.buf[:n]; len(b) >= messageSize; {
		size := int(binary.NativeEndian.Uint32(b))
		if size < messageSize || size > len(b) {
			return false, fmt.Errorf("read traces: a message of %d bytes in %d", size, len(b))
		}
		if s, ok := t.parse(binary.NativeEndian.Uint16(b[4:]), b[messageSize:size]); ok && each(s) {
			return true, nil
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}

// parse reads a netlink message; other messages than traces are not ok.
func (t *tracer) parse(messageType uint16, b []byte) (s step, ok bool) {
	if messageType != unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_TRACE || len(b) < genmsgSize {
		return s, false
	}
	s.family = b[0]
	ok = attributes(b[genmsgSize:], func(kind uint16, v []byte) {
		switch kind {
		case traceTable:
			s.table = t.name(v)
		case traceChain:
			s.chain = t.name(v)
		case traceHandle:
			s.handle = number(v)
		case traceKind:
			s.kind = uint32(number(v))
		case traceVerdict:
			attributes(v, func(kind uint16, v []byte) {
				switch kind {
				case verdictCode:
					s.verdict = int32(number(v))
				case verdictChain:
					s.target = t.name(v)
				}
			})
		case tracePolicyV:
			s.verdict = int32(number(v))
		default:
			if !t.brief {
				s.attribute(kind, v)
			}
		}
	})
	return s, ok
}

// attributes calls fn for each of a sequence of netlink attributes, and reports whether it was one.
func attributes(b []byte, fn func(kind uint16, value []byte)) bool {
	for len(b) >= attributeSize {
		size := int(binary.NativeEndian.Uint16(b))
		if size < attributeSize || size > len(b) {
			return false
		}
		const typeMask = 0x3fff // linux/netlink.h: NLA_TYPE_MASK
		fn(binary.NativeEndian.Uint16(b[2:])&typeMask, b[attributeSize:size])
		b = b[min((size+3)&^3, len(b)):]
	}
	return true
}

// number reads a big-endian number of any size.
func number(b []byte) (n uint64) {
	for _, c := range b[:min(len(b), 8)] {
		n = n<<8 | uint64(c)
	}
	return n
}

// maxNames bounds the names that a tracer remembers.
const maxNames = 1 << 14

// name is a string of the kernel's, without its NUL.
func (t *tracer) name(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	if s, ok := t.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(t.names) < maxNames {
		t.names[s] = s
	}
	return s
}
