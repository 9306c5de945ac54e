package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Veth makes a virtual cable: two linked interfaces that are up, aName in a and bName in b, which may be the
// same namespace. IPv6 addresses on them are usable at once: duplicate address detection is off.
func Veth(a *Namespace, aName string, b *Namespace, bName string) error {
	return VethNumbered(0, a, aName, b, bName)
}

// VethNumbered is Veth with an interface index for the end in a, which must be free there; 0 lets the kernel choose.
func VethNumbered(index int, a *Namespace, aName string, b *Namespace, bName string) error {
	err := a.Do(func() error {
		return b.control(func(fd int) error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.Index = aName, index
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: bName, PeerNamespace: netlink.NsFd(fd)})
		})
	})
	if err != nil {
		return fmt.Errorf("make veth pair %s, %s: %w", aName, bName, err)
	}
	if err := a.vethUp(aName); err != nil {
		return err
	}
	return b.vethUp(bName)
}

func (n *Namespace) vethUp(link string) error {
	err := n.Sysctl("net/ipv6/conf/"+link+"/accept_dad", "0")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6 has nothing to detect
		return err
	}
	return n.Up(link)
}

// Up sets a link up.
func (n *Namespace) Up(link string) error {
	err := n.Do(func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	})
	if err != nil {
		return fmt.Errorf("set link %s up: %w", link, err)
	}
	return nil
}

// AddAddr gives a link an address with its prefix length, such as "192.0.2.1/24" or "2001:db8::1/64".
// It is usable at once.
func (n *Namespace) AddAddr(link, addr string) error {
	p, err := netip.ParsePrefix(addr)
	if err != nil {
		return fmt.Errorf("add address to %s: %w", link, err)
	}
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	err = n.Do(func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, a)
	})
	if err != nil {
		return fmt.Errorf("add address %s to %s: %w", addr, link, err)
	}
	return nil
}

// AddRoute sends what goes to the prefix dst ("0.0.0.0/0" and "::/0" for everything) through the router at address via.
func (n *Namespace) AddRoute(dst, via string) error {
	p, err := netip.ParsePrefix(dst)
	if err != nil {
		return fmt.Errorf("add route: %w", err)
	}
	gw, err := netip.ParseAddr(via)
	if err != nil {
		return fmt.Errorf("add route to %s: %w", dst, err)
	}
	to := &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
	err = n.Do(func() error { return netlink.RouteAdd(&netlink.Route{Dst: to, Gw: gw.AsSlice()}) })
	if err != nil {
		return fmt.Errorf("add route to %s via %s: %w", dst, via, err)
	}
	return nil
}

// Sysctl sets a sysctl of the namespace, such as "net/ipv4/ip_forward". The key stands with slashes, as
// interface names may hold dots.
func (n *Namespace) Sysctl(key, value string) error {
	// The kernel looks /proc/sys/net up in the network namespace of the calling thread, whoever mounted /proc.
	err := n.Do(func() error { return os.WriteFile(path.Join("/proc/sys", key), []byte(value), 0) })
	if err != nil {
		return fmt.Errorf("set sysctl %s to %s: %w", key, value, err)
	}
	return nil
}
