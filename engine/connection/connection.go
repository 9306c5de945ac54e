// Package connection knows the connections of this host and through it, as the kernel does: whom it has
// connected to, and how to end those of an address at once.
package connection

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// States of TCP sockets: include/net/tcp_states.h.
const (
	tcpTimeWait = 6
	tcpClose    = 7
	tcpListen   = 10
)

// Opened reports, of an address or prefix, whether this host has opened a connection to it.
type Opened func(netip.Prefix) bool

// FindOpened lists the TCP connections, and the UDP sockets with a peer, of the current network namespace. Those that came in
// on a port that somebody listens on were opened by the other side, and do not count.
func FindOpened() (Opened, error) {
	sockets, err := sockets()
	if err != nil {
		return nil, fmt.Errorf("list this host's connections: %w", err)
	}
	listening := make(map[uint16]bool)
	for _, s := range sockets {
		if s.tcp && s.state == tcpListen {
			listening[s.local.Port()] = true
		}
	}
	var peers []netip.Addr
	for _, s := range sockets {
		incoming := s.tcp && listening[s.local.Port()]
		if s.remote.Port() != 0 && !incoming && !s.over() {
			peers = append(peers, s.remote.Addr())
		}
	}
	return func(p netip.Prefix) bool {
		for _, a := range peers {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}, nil
}

// socket is a socket as sock_diag tells of it.
type socket struct {
	tcp           bool
	state         uint8
	local, remote netip.AddrPort
	cookie        [2]uint32
	inode         uint32
}

// over reports whether a connection is closed on both sides and only remembered.
func (s socket) over() bool { return s.tcp && (s.state == tcpTimeWait || s.state == tcpClose) }

// sockets lists the TCP and UDP sockets of both families.
func sockets() ([]socket, error) {
	var out []socket
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		for _, tcp := range []bool{true, false} {
			list, err := listed(family, tcp)
			if err != nil {
				return nil, err
			}
			out = append(out, list...)
		}
	}
	return out, nil
}

func listed(family uint8, tcp bool) ([]socket, error) {
	list := netlink.SocketDiagUDP
	if tcp {
		list = netlink.SocketDiagTCP
	}
	all, err := list(family)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, err
	}
	out := make([]socket, 0, len(all))
	for _, s := range all {
		local, _ := netip.AddrFromSlice(s.ID.Source)
		remote, _ := netip.AddrFromSlice(s.ID.Destination)
		out = append(out, socket{
			tcp: tcp, state: s.State, cookie: s.ID.Cookie, inode: s.INode,
			local:  netip.AddrPortFrom(local.Unmap(), s.ID.SourcePort),
			remote: netip.AddrPortFrom(remote.Unmap(), s.ID.DestinationPort),
		})
	}
	return out, nil
}

// Peers maps the inodes of the TCP sockets that have a peer to the peer's address.
func Peers() (map[uint32]netip.Addr, error) {
	out := make(map[uint32]netip.Addr)
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		list, err := listed(family, true)
		if err != nil {
			return nil, fmt.Errorf("list this host's connections: %w", err)
		}
		for _, s := range list {
			if s.inode != 0 && s.remote.Port() != 0 {
				out[s.inode] = s.remote.Addr()
			}
		}
	}
	return out, nil
}
