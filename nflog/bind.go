package nflog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Why Open cannot bind a group. Its errors wrap these and say what to do.
var (
	ErrGroupBusy   = errors.New("nflog: group is in use")
	ErrPermission  = errors.New("nflog: not permitted")
	ErrUnsupported = errors.New("nflog: kernel without nfnetlink_log")
)

// dial opens a netlink socket that only the kernel can send to.
func dial(cfg Config) (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, unsupported(err)
	}
	if err != nil {
		return nil, fmt.Errorf("nflog: netlink socket: %w", err)
	}
	if err := prepare(conn, cfg); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func prepare(conn *netlink.Conn, cfg Config) error {
	if err := conn.SetReadBuffer(cfg.ReceiveBuffer); err != nil {
		return fmt.Errorf("nflog: receive buffer of %d bytes: %w", cfg.ReceiveBuffer, err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("nflog: netlink socket: %w", err)
	}
	// Port 0 is the kernel. Once connected to it, the socket takes messages from
	// nobody else, so that no other process can feed it packets.
	control := func(fd uintptr) {
		err = unix.Connect(int(fd), &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if cerr := raw.Control(control); cerr != nil || err != nil {
		return fmt.Errorf("nflog: connect netlink socket to the kernel: %w", errors.Join(cerr, err))
	}
	return nil
}

// bind binds the group and applies cfg.
func bind(raw syscall.RawConn, cfg Config) error {
	err := request(raw, configMessage(msgConfig, cfg.Group, bindAttributes(cfg)))
	if err == nil {
		return nil
	}
	return bindError(err, cfg.Group, mayConfigure(raw))
}

// bindError explains why the kernel refused to bind a group.
func bindError(err error, group uint16, capable bool) error {
	switch {
	case errors.Is(err, unix.EPERM) && !capable:
		return fmt.Errorf("%w: binding group %d needs CAP_NET_ADMIN: run as root or grant the capability", ErrPermission, group)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		// EPERM is the answer about somebody else's group, the others are lost races.
		return fmt.Errorf("%w: another socket is bound to group %d: stop its program or log to another group (/proc/net/netfilter/nfnetlink_log lists group and netlink port, most often the process id)", ErrGroupBusy, group)
	case errors.Is(err, unix.EINVAL):
		return unsupported(err)
	}
	return fmt.Errorf("nflog: bind group %d: %w", group, err)
}

func unsupported(err error) error {
	return fmt.Errorf("%w: load it with \"modprobe nfnetlink_log\" or build a kernel with CONFIG_NETFILTER_NETLINK_LOG: %w", ErrUnsupported, err)
}

// mayConfigure tells the kernel's two meanings of EPERM apart: a request that no
// group can answer is refused with EPERM only for want of the capability.
func mayConfigure(raw syscall.RawConn) bool {
	err := request(raw, configMessage(msgPacket, 0, nil))
	return !errors.Is(err, unix.EPERM)
}

// request sends m and returns the kernel's refusal, if any.
//
// It does not ask for an acknowledgement: once a group is bound, packets may
// stand before it in the queue. A refusal however comes before any packet, and is
// there when the sending system call returns.
func request(raw syscall.RawConn, m []byte) error {
	var refusal error
	err := raw.Control(func(fd uintptr) {
		if _, refusal = unix.Write(int(fd), m); refusal == nil {
			refusal = takeRefusal(int(fd))
		}
	})
	return errors.Join(err, refusal)
}

// takeRefusal removes the refusal at the head of the queue and returns it; it
// leaves anything else there.
func takeRefusal(fd int) error {
	b := make([]byte, messageHeader+4)
	n, _, err := unix.Recvfrom(fd, b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err == unix.EAGAIN {
		return nil
	}
	if err != nil {
		return err
	}
	if n < len(b) || binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR {
		return nil
	}
	if _, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT); err != nil {
		return err
	}
	errno, _ := errorCode(b[messageHeader:])
	return errno
}
