package nft

import (
	"encoding/binary"
	"fmt"
	"sync"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// receiveSize holds the largest datagram that the kernel sends: it fills at most 32 KiB when it lists things
// (net/netlink/af_netlink.c: netlink_dump), and an attribute is no longer than 64 KiB.
const receiveSize = 1 << 17

// A conn is a netlink socket that one request uses at a time.
type conn struct {
	mu   sync.Mutex
	sock *netlink.Conn
	raw  syscall.RawConn
	buf  []byte
	seq  uint32
	room int // that the send buffer was asked to have
}

// dial opens a socket in the network namespace of the calling thread.
func dial() (*conn, error) {
	sock, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	raw, err := sock.SyscallConn()
	if err != nil {
		sock.Close()
		return nil, err
	}
	// Without CapAcknowledge, each refusal would bring back the whole message, and many could fill the socket.
	for _, opt := range []netlink.ConnOption{netlink.CapAcknowledge, netlink.ExtendedAcknowledge} {
		if err := sock.SetOption(opt, true); err != nil {
			sock.Close()
			return nil, err
		}
	}
	return &conn{sock: sock, raw: raw, buf: make([]byte, receiveSize)}, nil
}

// query sends one request, whose attributes fill writes, and hands each answer to each, valid until that returns.
// With flag NLM_F_DUMP the kernel lists all there is, see [Client.steady].
func (c *conn) query(typ, flags uint16, family Family, fill func(*writer), each func(answer) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	var w writer
	start := w.begin(message(typ), unix.NLM_F_ACK|flags, c.seq, family, 0)
	if fill != nil {
		fill(&w)
	}
	w.end(start)
	if err := c.send(w.b); err != nil {
		return err
	}
	finished := false
	var eachErr error
	for !finished {
		b, err := c.receive(true)
		if err != nil {
			return err
		}
		err = messages(b, func(a answer) error {
			if a.seq != c.seq || finished {
				return nil // what an earlier request left behind
			}
			switch {
			case a.typ == unix.NLMSG_ERROR, a.typ == unix.NLMSG_DONE:
				finished = true
				return a.refusal()
			case eachErr == nil:
				eachErr = each(a)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return eachErr
}

// send gives b to the kernel, which has acted on it when send returns: netlink is synchronous.
func (c *conn) send(b []byte) error {
	var sendErr error
	err := c.raw.Control(func(fd uintptr) {
		for {
			sendErr = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
			if sendErr != unix.EINTR {
				return
			}
		}
	})
	if err == nil && sendErr != nil {
		err = wrapErrno("send", sendErr)
	}
	return err
}

// receive returns the next datagram, valid until the next call. It waits for one if wait is set, and otherwise
// returns nil if there is none.
func (c *conn) receive(wait bool) ([]byte, error) {
	var n int
	var recvErr error
	err := c.raw.Read(func(fd uintptr) bool {
		for {
			n, _, recvErr = unix.Recvfrom(int(fd), c.buf, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
			if recvErr != unix.EINTR {
				return recvErr != unix.EAGAIN || !wait
			}
		}
	})
	switch {
	case err != nil:
		return nil, err
	case recvErr == unix.EAGAIN:
		return nil, nil
	case recvErr != nil:
		return nil, wrapErrno("receive", recvErr)
	case n > len(c.buf):
		return nil, fmt.Errorf("receive: %w: %d bytes in one datagram", errMalformed, n)
	}
	return c.buf[:n], nil
}

// An answer is one message from the kernel.
type answer struct {
	typ    uint16
	flags  uint16
	seq    uint32
	port   uint32
	family Family
	attrs  []byte
	body   []byte // everything after the netlink header
}

// messages calls each for every message in a datagram, until it returns an error.
func messages(b []byte, each func(answer) error) error {
	for len(b) > 0 {
		if len(b) < headerLen {
			return errMalformed
		}
		size := int(binary.NativeEndian.Uint32(b))
		if size < headerLen || size > len(b) {
			return errMalformed
		}
		a := answer{
			typ:   binary.NativeEndian.Uint16(b[4:]),
			flags: binary.NativeEndian.Uint16(b[6:]),
			seq:   binary.NativeEndian.Uint32(b[8:]),
			port:  binary.NativeEndian.Uint32(b[12:]),
			body:  b[headerLen:size],
		}
		b = b[min(align(size), len(b)):]
		if a.typ >= unix.NLMSG_MIN_TYPE {
			if len(a.body) < genLen {
				return errMalformed
			}
			a.family, a.attrs = Family(a.body[0]), a.body[genLen:]
		}
		if err := each(a); err != nil {
			return err
		}
	}
	return nil
}

// refusal returns the error in a message of type NLMSG_ERROR or NLMSG_DONE, nil if that says success.
func (a answer) refusal() error {
	if len(a.body) < 4 {
		if a.typ == unix.NLMSG_DONE {
			return nil
		}
		return errMalformed
	}
	code := int32(binary.NativeEndian.Uint32(a.body))
	if code == 0 {
		return nil
	}
	if code > 0 || code < -4095 { // linux/err.h: MAX_ERRNO
		return errMalformed
	}
	e := &kernelError{errno: unix.Errno(-code)}
	if a.flags&unix.NLM_F_ACK_TLVS == 0 || a.typ == unix.NLMSG_DONE || len(a.body) < 4+headerLen {
		return e
	}
	// Only the header of the refused message comes back, because of CapAcknowledge.
	r := reader{b: a.body[4+headerLen:]}
	for r.next() {
		switch {
		case r.typ == unix.NLMSGERR_ATTR_MSG:
			e.text = r.string()
		case r.typ == unix.NLMSGERR_ATTR_OFFS && len(r.data) == 4:
			e.offset = int(binary.NativeEndian.Uint32(r.data))
		}
	}
	return e
}

func wrapErrno(op string, err error) error {
	if errno, ok := err.(unix.Errno); ok {
		return fmt.Errorf("%s: %w", op, &kernelError{errno: errno})
	}
	return fmt.Errorf("%s: %w", op, err)
}
