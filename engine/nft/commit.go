package nft

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// transact sends a transaction, whose last operation's message is to be acknowledged, and collects the kernel's answers.
// It has all of them when the send returns.
func (c *conn) transact(tx *Tx, last uint32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.makeRoom(len(tx.w.b)); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := c.send(tx.w.b); err != nil {
		return fmt.Errorf("commit %d bytes in one transaction: %w", len(tx.w.b), err)
	}
	var refused error
	acknowledged := false
	for {
		b, err := c.receive(false)
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		if b == nil {
			break
		}
		err = messages(b, func(a answer) error {
			if a.typ != unix.NLMSG_ERROR {
				return nil
			}
			err := a.refusal()
			if err != nil && refused == nil {
				refused = tx.explain(a.seq, err)
			}
			acknowledged = acknowledged || err == nil && a.seq == last
			return nil
		})
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	if refused == nil && !acknowledged {
		return errors.New("commit: the kernel did not acknowledge the transaction")
	}
	return refused
}

// makeRoom enlarges the socket's send buffer, which a transaction has to fit in. Where the process may not exceed
// net.core.wmem_max the buffer stays smaller, and the send fails with EMSGSIZE.
func (c *conn) makeRoom(size int) error {
	size += headroom
	if c.room >= size {
		return nil
	}
	if err := c.sock.SetWriteBuffer(size); err != nil {
		return err
	}
	c.room = size
	return nil
}

// offer makes room for a transaction of size bytes, and returns how large one may be: less where net.core.wmem_max does not allow it.
func (c *conn) offer(size int) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.makeRoom(size); err != nil {
		return 0, err
	}
	granted := 0
	var getErr error
	err := c.raw.Control(func(fd uintptr) {
		granted, getErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
	})
	return min(size, granted-headroom), errors.Join(err, getErr)
}

// headroom is more than what the kernel keeps of the send buffer for itself (net/netlink/af_netlink.c: netlink_sendmsg).
const headroom = 4096

// explain says which operation the kernel refused, and which element.
func (tx *Tx) explain(seq uint32, err error) error {
	if int(seq) >= len(tx.ops) {
		return fmt.Errorf("commit: %w", err)
	}
	o := tx.ops[seq]
	var refusal *kernelError
	if errors.As(err, &refusal) && refusal.offset > 0 {
		if key := o.element(tx.w.b[o.start:], refusal.offset); key != "" {
			return fmt.Errorf("%s: element %s: %w", o, key, err)
		}
	}
	return fmt.Errorf("%s: %w", o, err)
}

// element returns the key of the element that stands at offset in the operation's message, "" if none does.
func (o op) element(msg []byte, offset int) string {
	if offset > len(msg) {
		return ""
	}
	r := reader{b: msg[offset:]}
	if !r.next() || r.typ != unix.NFTA_LIST_ELEM {
		return ""
	}
	e, err := decodeElement(r.data)
	if err != nil || len(e.key) == 0 {
		return ""
	}
	if addr, ok := netip.AddrFromSlice(e.key); ok && o.addrs {
		return addr.String()
	}
	return fmt.Sprintf("%#x", e.key)
}
