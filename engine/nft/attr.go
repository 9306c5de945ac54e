package nft

import (
	"encoding/binary"
	"errors"
	"math"

	"golang.org/x/sys/unix"
)

// Netlink headers are in the machine's byte order; the numbers inside nf_tables attributes are big endian.

const (
	headerLen = unix.NLMSG_HDRLEN // linux/netlink.h: struct nlmsghdr
	genLen    = 4                 // linux/netfilter/nfnetlink.h: struct nfgenmsg
	attrLen   = unix.NLA_HDRLEN   // linux/netlink.h: struct nlattr
	typeMask  = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
)

// maxList is how many bytes of elements go into one attribute, whose length field has 16 bits. It leaves room
// for one more element.
const maxList = math.MaxUint16 - 1024

var errMalformed = errors.New("malformed netlink message")

// message returns the type of an nf_tables message.
func message(msg uint16) uint16 { return unix.NFNL_SUBSYS_NFTABLES<<8 | msg }

// A writer appends netlink messages to a buffer.
type writer struct{ b []byte }

// begin starts a message and returns its place, for end. resource is the subsystem in a batch's first and last message.
func (w *writer) begin(typ, flags uint16, seq uint32, family Family, resource uint16) int {
	start := len(w.b)
	w.b = binary.NativeEndian.AppendUint32(w.b, 0) // the length, once it is known
	w.b = binary.NativeEndian.AppendUint16(w.b, typ)
	w.b = binary.NativeEndian.AppendUint16(w.b, unix.NLM_F_REQUEST|flags)
	w.b = binary.NativeEndian.AppendUint32(w.b, seq)
	w.b = binary.NativeEndian.AppendUint32(w.b, 0) // the kernel knows the sender
	w.b = append(w.b, byte(family), unix.NFNETLINK_V0)
	w.b = binary.BigEndian.AppendUint16(w.b, resource)
	return start
}

func (w *writer) end(start int) {
	binary.NativeEndian.PutUint32(w.b[start:], uint32(len(w.b)-start))
}

// nest starts an attribute of attributes and returns its place, for endNest.
func (w *writer) nest(typ uint16) int {
	start := len(w.b)
	w.head(typ|unix.NLA_F_NESTED, 0)
	return start
}

func (w *writer) endNest(start int) {
	binary.NativeEndian.PutUint16(w.b[start:], uint16(len(w.b)-start))
}

func (w *writer) head(typ uint16, size int) {
	w.b = binary.NativeEndian.AppendUint16(w.b, uint16(attrLen+size))
	w.b = binary.NativeEndian.AppendUint16(w.b, typ)
}

func (w *writer) pad() {
	for len(w.b)%unix.NLA_ALIGNTO != 0 {
		w.b = append(w.b, 0)
	}
}

func (w *writer) bytes(typ uint16, v []byte) {
	w.head(typ, len(v))
	w.b = append(w.b, v...)
	w.pad()
}

// string writes v with the zero byte that the kernel expects after it.
func (w *writer) string(typ uint16, v string) {
	w.head(typ, len(v)+1)
	w.b = append(w.b, v...)
	w.b = append(w.b, 0)
	w.pad()
}

func (w *writer) uint32(typ uint16, v uint32) {
	w.head(typ, 4)
	w.b = binary.BigEndian.AppendUint32(w.b, v)
}

func (w *writer) uint64(typ uint16, v uint64) {
	w.head(typ, 8)
	w.b = binary.BigEndian.AppendUint64(w.b, v)
}

// A reader walks over the attributes of a message, or of an attribute. The data it yields lies in the
// message's own buffer. After next has returned false, err tells whether bytes were left that are no attribute.
type reader struct {
	b    []byte
	typ  uint16
	raw  uint16 // typ with its flags
	data []byte
	err  error
}

func (r *reader) next() bool {
	if len(r.b) == 0 || r.err != nil {
		return false
	}
	if len(r.b) < attrLen {
		r.err = errMalformed
		return false
	}
	size := int(binary.NativeEndian.Uint16(r.b))
	if size < attrLen || size > len(r.b) {
		r.err = errMalformed
		return false
	}
	r.raw = binary.NativeEndian.Uint16(r.b[2:])
	r.typ = r.raw & typeMask
	r.data = r.b[attrLen:size]
	r.b = r.b[min(align(size), len(r.b)):]
	return true
}

// uint32 returns a big endian number, and notes an error if the attribute holds none.
func (r *reader) uint32() uint32 {
	if len(r.data) != 4 {
		r.err = errMalformed
		return 0
	}
	return binary.BigEndian.Uint32(r.data)
}

func (r *reader) uint64() uint64 {
	if len(r.data) != 8 {
		r.err = errMalformed
		return 0
	}
	return binary.BigEndian.Uint64(r.data)
}

// string returns the text up to the first zero byte.
func (r *reader) string() string { return text(r.data) }

func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

func align(n int) int { return (n + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1) }

// userdata returns what nft stored under typ in a rule's, set's or element's user data: a list of type and length,
// one byte each, and value (libnftnl/udata.h). The kernel does not look at it, so it may hold anything.
func userdata(b []byte, typ byte) (value []byte, ok bool) {
	for len(b) >= 2 {
		size := 2 + int(b[1])
		if size > len(b) {
			return nil, false
		}
		if b[0] == typ {
			return b[2:size], true
		}
		b = b[size:]
	}
	return nil, false
}
