package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"moonlatch/engine/netns"
)

// link is a cable: an interface of the host's and its far end.
type link struct {
	mac      net.HardwareAddr
	index    int
	farIndex int
}

// cables makes the host's first interfaces, its addresses and its sockets.
func (l *Lab) cables() error {
	for _, s := range []struct{ key, value string }{
		{"ipv4/ip_forward", "1"}, {"ipv6/conf/all/forwarding", "1"},
		{"ipv4/conf/all/rp_filter", "0"}, {"ipv4/conf/default/rp_filter", "0"},
		{"ipv4/conf/all/log_martians", "0"}, {"ipv4/conf/all/send_redirects", "0"}, {"ipv4/conf/default/send_redirects", "0"},
	} {
		if err := l.sysctl(s.key, s.value); err != nil {
			return err
		}
	}
	// The far ends must not send anything by themselves.
	if err := l.wire.Sysctl("net/ipv6/conf/default/disable_ipv6", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := l.wire.Do(func() (err error) {
		l.frames, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	for _, name := range []string{syncLink, Inside, Outside} {
		if _, err := l.link(name); err != nil {
			return err
		}
	}
	for _, a := range []string{Host4, Host6} {
		if err := l.AddAddress(netip.MustParseAddr(a)); err != nil {
			return err
		}
	}
	if err := l.separate(); err != nil {
		return err
	}
	return l.routeBy(Outside)
}

// link returns the host's interface of a name, which it makes where there is none.
func (l *Lab) link(name string) (link, error) {
	if k, ok := l.links[name]; ok || name == "lo" {
		return k, nil
	}
	if err := netns.Veth(l.host, name, l.wire, name); err != nil {
		return link{}, err
	}
	near, err := netlink.LinkByName(name)
	if err != nil {
		return link{}, fmt.Errorf("interface %s: %w", name, err)
	}
	if err := netlink.LinkSetARPOff(near); err != nil {
		return link{}, fmt.Errorf("interface %s: %w", name, err)
	}
	k := link{mac: near.Attrs().HardwareAddr, index: near.Attrs().Index}
	err = l.wire.Do(func() error {
		far, err := net.InterfaceByName(name)
		if err == nil {
			k.farIndex = far.Index
		}
		return err
	})
	l.links[name] = k
	if err == nil && l.wide {
		err = l.widen(name)
	}
	return k, err
}

// AddAddress makes an address one of the host's own.
func (l *Lab) AddAddress(a netip.Addr) error {
	if l.addresses[a] {
		return nil
	}
	near, err := netlink.LinkByName(Inside)
	if err != nil {
		return fmt.Errorf("address %s: %w", a, err)
	}
	bits := a.BitLen()
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, bits)}}
	if a.Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := netlink.AddrAdd(near, addr); err != nil {
		return fmt.Errorf("address %s: %w", a, err)
	}
	l.addresses[a] = true
	return nil
}

// Addresses lists the host's own addresses.
func (l *Lab) Addresses() []netip.Addr {
	var out []netip.Addr
	for a := range l.addresses {
		out = append(out, a)
	}
	return out
}

// The routing tables: of packets that are forwarded, and of those that the host itself sends.
const (
	forwarding = unix.RT_TABLE_MAIN
	sending    = 100
)

// separate gives what the host itself sends a routing table of its own.
func (l *Lab) separate() error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		r := netlink.NewRule()
		r.Family, r.Mark, r.Table = family, ownMark, sending
		if err := netlink.RuleAdd(r); err != nil {
			return fmt.Errorf("routing rule: %w", err)
		}
	}
	return nil
}

// routeBy makes packets that are forwarded leave by an interface.
func (l *Lab) routeBy(name string) error { return l.leave(&l.route, name, forwarding) }

// sendBy makes packets that the host itself sends leave by an interface.
func (l *Lab) sendBy(name string) error { return l.leave(&l.sent, name, sending) }

// leave makes an interface the one by which a table's packets leave. was is the one up to now.
func (l *Lab) leave(was *string, name string, table int) error {
	if *was == name {
		return nil
	}
	k, err := l.link(name)
	if err != nil {
		return err
	}
	for _, all := range []string{"0.0.0.0/0", "::/0"} {
		_, dst, err := net.ParseCIDR(all)
		if err != nil {
			return err
		}
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: k.index, Dst: dst, Scope: netlink.SCOPE_LINK, Table: table}); err != nil {
			return fmt.Errorf("route by %s: %w", name, err)
		}
	}
	*was = name
	return nil
}

// LinkName is the name of the host's interface with an index, "" if there is none.
func (l *Lab) LinkName(index uint32) string {
	for name, k := range l.links {
		if uint32(k.index) == index {
			return name
		}
	}
	return ""
}
