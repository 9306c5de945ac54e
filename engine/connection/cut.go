package connection

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"go4.org/netipx"
	"golang.org/x/sys/unix"
)

// Cut ends what is established with the targets, whoever opened it: the kernel forgets the connections, of this host and
// forwarded ones, translated or not, and this host's own TCP sockets are closed with a reset. It returns how many
// connections the kernel forgot. It looks at all of them, which takes some milliseconds for 10,000, so that many
// targets cost no more than one. To be called when nothing comes from them any more, or they connect again.
func Cut(targets []netip.Prefix) (int, error) {
	var b netipx.IPSetBuilder
	for _, p := range targets {
		b.AddPrefix(p)
	}
	set, err := b.IPSet()
	if err != nil {
		return 0, fmt.Errorf("cut connections: %w", err)
	}
	// First the sockets: what they still send would be tracked as a new connection.
	closed := closeSockets(set)
	n, err := forget(set)
	if err := errors.Join(closed, err); err != nil {
		return n, fmt.Errorf("cut connections: %w", err)
	}
	return n, nil
}

// forget deletes entries of connection tracking.
func forget(of *netipx.IPSet) (int, error) {
	n := uint(0)
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		deleted, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, concerns{of})
		n += deleted
		switch {
		case errors.Is(err, netlink.ErrDumpInterrupted): // entries come and go; those that were there were listed
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP): // nothing is tracked on this kernel
		case err != nil:
			return int(n), err
		}
	}
	return int(n), nil
}

// concerns matches connections with an end in a set. Behind address translation, that is the source of
// one direction all the same: of what either side sends, the source is its own address until the packet is here.
type concerns struct{ *netipx.IPSet }

func (c concerns) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	return c.holds(f.Forward.SrcIP) || c.holds(f.Reverse.SrcIP)
}

func (c concerns) holds(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && c.Contains(a.Unmap())
}

// closeSockets closes the TCP sockets with a peer in a set. Where the kernel was built without
// CONFIG_INET_DIAG_DESTROY, they stay until they time out.
func closeSockets(with *netipx.IPSet) error {
	all, err := sockets()
	if err != nil {
		return err
	}
	for _, s := range all {
		if !s.tcp || s.remote.Port() == 0 || !with.Contains(s.remote.Addr()) {
			continue
		}
		err := s.destroy()
		if errors.Is(err, unix.EOPNOTSUPP) {
			return nil
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("close the connection with %s: %w", s.remote, err)
		}
	}
	return nil
}

// destroy closes one socket, which its cookie names.
func (s socket) destroy() error {
	req := nl.NewNetlinkRequest(nl.SOCK_DESTROY, unix.NLM_F_ACK)
	req.AddData(diagRequest(s))
	_, err := req.Execute(unix.NETLINK_INET_DIAG, 0)
	return err
}

// diagRequest is a socket as struct inet_diag_req_v2 of include/uapi/linux/inet_diag.h.
type diagRequest socket

func (diagRequest) Len() int { return 56 }

func (r diagRequest) Serialize() []byte {
	b := make([]byte, 0, 56)
	family := byte(unix.AF_INET)
	if r.local.Addr().Is6() {
		family = unix.AF_INET6
	}
	b = append(b, family, unix.IPPROTO_TCP, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, 1<<32-1) // in any state
	b = binary.BigEndian.AppendUint16(b, r.local.Port())
	b = binary.BigEndian.AppendUint16(b, r.remote.Port())
	for _, a := range []netip.Addr{r.local.Addr(), r.remote.Addr()} {
		var sixteen [16]byte
		copy(sixteen[:], a.AsSlice())
		b = append(b, sixteen[:]...)
	}
	b = binary.NativeEndian.AppendUint32(b, 0) // on any interface
	b = binary.NativeEndian.AppendUint32(b, r.cookie[0])
	return binary.NativeEndian.AppendUint32(b, r.cookie[1])
}
