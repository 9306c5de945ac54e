package main

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// This is netlink as a C program would speak it, and what the anchors are made
// of: plain system calls, no library, and nothing of Moonlatch's.

// nested marks an attribute that holds attributes (linux/netlink.h: NLA_F_NESTED).
const nested = unix.NLA_F_NESTED

// attribute is an attribute with its parts one behind the other.
func attribute(typ uint16, parts ...[]byte) []byte {
	b := make([]byte, 4, 64)
	for _, p := range parts {
		b = append(b, p...)
	}
	binary.NativeEndian.PutUint16(b, uint16(len(b)))
	binary.NativeEndian.PutUint16(b[2:], typ)
	return aligned(b)
}

func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func be64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// text is a string as netlink has them.
func text(s string) []byte { return append([]byte(s), 0) }

func aligned(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// request is a message for nfnetlink: struct nlmsghdr, struct nfgenmsg, attributes.
func request(typ, flags uint16, family uint8, resource uint16, attributes ...[]byte) []byte {
	b := make([]byte, 20, 256)
	for _, a := range attributes {
		b = append(b, a...)
	}
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], typ)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|flags)
	b[16] = family
	binary.BigEndian.PutUint16(b[18:], resource)
	return b
}

// netlinkSocket opens a socket with buffers of size bytes, or the most that is allowed.
func netlinkSocket(size int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return -1, fmt.Errorf("netlink socket: %w", err)
	}
	for forced, plain := range map[int]int{unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF} {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, forced, size)
		if err == unix.EPERM { // only root may go beyond net.core.rmem_max and wmem_max
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
		}
		if err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("netlink socket: %w", err)
		}
	}
	return fd, nil
}

// exchange sends messages, of which one asks for an acknowledgement, and waits for that.
func exchange(fd int, messages []byte) error {
	if err := unix.Sendto(fd, messages, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send %d bytes over netlink: %w", len(messages), err)
	}
	answer := make([]byte, 8192)
	n, err := unix.Read(fd, answer)
	if err != nil {
		return fmt.Errorf("receive over netlink: %w", err)
	}
	if n < 20 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("receive over netlink: %d bytes that are no acknowledgement", n)
	}
	if errno := -int32(binary.NativeEndian.Uint32(answer[16:])); errno != 0 {
		return fmt.Errorf("the kernel refused it: %w", unix.Errno(errno))
	}
	return nil
}
