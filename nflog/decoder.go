package nflog

import (
	"encoding/binary"
	"math"

	"golang.org/x/sys/unix"
)

// decoder turns datagrams into events and keeps count of the numbers missing
// between them. It belongs to the goroutine that reads.
type decoder struct {
	event Event
	next  uint32 // the sequence number expected; the kernel starts at 0
	tally tally
	// refused is the kernel's answer to a request that it did not carry out.
	refused unix.Errno
}

// tally counts what one datagram brought.
type tally struct{ events, lost, malformed uint64 }

// datagram calls handle for each packet in b, a sequence of netlink messages.
func (d *decoder) datagram(b []byte, handle func(*Event)) {
	for len(b) >= messageHeader {
		size := binary.NativeEndian.Uint32(b)
		if size < messageHeader || uint64(size) > uint64(len(b)) {
			break
		}
		d.message(binary.NativeEndian.Uint16(b[4:]), b[messageHeader:size], handle)
		b = b[min(align(int(size)), len(b)):]
	}
	if len(b) > 0 {
		d.tally.malformed++ // without a length to trust, the next message cannot be found
	}
}

func (d *decoder) message(kind uint16, body []byte, handle func(*Event)) {
	switch kind {
	case msgPacket:
		d.packet(body, handle)
	case unix.NLMSG_DONE, unix.NLMSG_NOOP: // the kernel ends a batch with DONE
	case unix.NLMSG_ERROR:
		if errno, ok := errorCode(body); ok {
			d.refused = errno
			return
		}
		d.tally.malformed++
	default:
		d.tally.malformed++
	}
}

// packet decodes one packet message and hands it over. The whole message has to
// make sense first, lest the handler sees half a packet.
func (d *decoder) packet(b []byte, handle func(*Event)) {
	e := &d.event
	if len(b) < nfgenmsgHeader {
		d.tally.malformed++
		return
	}
	*e = Event{Family: b[0]}
	if !e.decode(b[nfgenmsgHeader:]) {
		d.tally.malformed++
		return
	}
	e.cutLinkHeader()
	if e.HasSeq {
		d.sequence(e.Seq)
	}
	d.tally.events++
	handle(e)
}

// sequence counts the numbers that are missing before seq. The kernel numbers
// and sends under one lock, so a number never comes late: one that goes back is
// not from its counter, and starts the count anew.
func (d *decoder) sequence(seq uint32) {
	if gap := seq - d.next; gap <= math.MaxInt32 {
		d.tally.lost += uint64(gap)
	}
	d.next = seq + 1
}

// errorCode returns the error number of struct nlmsgerr, linux/netlink.h.
func errorCode(body []byte) (errno unix.Errno, ok bool) {
	if len(body) < 4 {
		return 0, false
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(body))), true
}
