package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"moonlatch/engine/netns"
)

// The addresses of every host are the same: each is in namespaces of its own.
var (
	server4 = netip.MustParseAddr("198.51.100.1")
	server6 = netip.MustParseAddr("2001:db8:900d::1")
	client4 = netip.MustParseAddr("198.51.100.7")
	client6 = netip.MustParseAddr("2001:db8:900d::7")
)

// host is a firewall under test and its client, each in a network namespace of
// its own, with a folder for the firewall's files.
type host struct {
	server, client *netns.Namespace
	folder         string
	program        *program
	judge          *judge
	delays         delays
	struck         func(kind string) // is told of faults that strike by themselves
	wrapped        atomic.Value      // the string that says how nft fails at present, "" where it does not
	pump           *pump
	pool           []*member // further addresses of the client, to be banned
	closers        []func()
	probing        sync.WaitGroup
}

// newHost makes a host. The folder must not exist; what is found goes to report.
func newHost(ctx context.Context, cfg config, name, folder string, report func(violation), struck func(string)) (h *host, err error) {
	h = &host{folder: folder, judge: &judge{report: report}, struck: struck}
	h.wrapped.Store("")
	defer func() {
		if err != nil {
			h.close()
			h = nil
		}
	}()
	if err = os.Mkdir(folder, 0o700); err != nil {
		return h, err
	}
	if err = h.lay(); err != nil {
		return h, err
	}
	if h.program, err = newProgram(cfg, name, folder); err != nil {
		return h, err
	}
	if err = h.wire(); err != nil {
		return h, err
	}
	h.program.host = h.server
	h.judge.only(anything) // until the cable works
	return h, h.probe(ctx)
}

// lay puts the policies into the folder, and a small disk for the state.
func (h *host) lay() error {
	if err := writePolicies(h.folder); err != nil {
		return err
	}
	disk := filepath.Join(h.folder, "state")
	if err := os.Mkdir(disk, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=12m,mode=0700"); err != nil {
		return fmt.Errorf("mount a disk for the state: %w", err)
	}
	h.closers = append(h.closers, func() { unix.Unmount(disk, unix.MNT_DETACH) })
	return nil
}

func (h *host) wire() (err error) {
	if h.server, err = netns.New(); err != nil {
		return err
	}
	if h.client, err = netns.New(); err != nil {
		return err
	}
	if err := netns.Veth(h.server, "eth0", h.client, "eth0"); err != nil {
		return err
	}
	for n, addrs := range map[*netns.Namespace][]netip.Addr{h.server: {server4, server6}, h.client: append(poolAddrs(), client4, client6)} {
		for _, a := range addrs {
			bits := 24
			if a.Is6() {
				bits = 64
			}
			if err := n.AddAddr("eth0", netip.PrefixFrom(a, bits).String()); err != nil {
				return err
			}
		}
	}
	return h.introduce()
}

// introduce tells the two who is where, so that no policy can come between IPv6
// and its neighbour discovery: what is to be seen is the firewall.
func (h *host) introduce() error {
	mac := func(n *netns.Namespace) (addr net.HardwareAddr, err error) {
		err = n.Do(func() error {
			l, err := netlink.LinkByName("eth0")
			if err == nil {
				addr = l.Attrs().HardwareAddr
			}
			return err
		})
		return addr, err
	}
	meet := func(n *netns.Namespace, addrs []netip.Addr, at net.HardwareAddr) error {
		return n.Do(func() error {
			l, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			index := l.Attrs().Index
			for _, a := range addrs {
				if to := netip.PrefixFrom(a, 64).Masked(); a.Is6() && to.Addr() != netip.PrefixFrom(client6, 64).Masked().Addr() && n == h.server {
					dst := &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(64, 128)}
					err = errors.Join(err, netlink.RouteAdd(&netlink.Route{LinkIndex: index, Dst: dst, Scope: netlink.SCOPE_LINK}))
				}
				err = errors.Join(err, netlink.NeighSet(&netlink.Neigh{LinkIndex: index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: at}))
			}
			return err
		})
	}
	server, err := mac(h.server)
	if err != nil {
		return err
	}
	client, err := mac(h.client)
	if err != nil {
		return err
	}
	return errors.Join(
		meet(h.client, []netip.Addr{server4, server6}, server),
		meet(h.server, append(poolAddrs(), client4, client6), client),
	)
}

// probe begins to look at the host through its client's eyes.
func (h *host) probe(ctx context.Context) (err error) {
	if h.pump, err = newPump(h, [][2]netip.Addr{{client4, server4}, {client6, server6}}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h.closers = append(h.closers, func() {
		cancel()
		h.probing.Wait()
	})
	h.probing.Go(func() { h.pump.run(ctx) })
	for _, a := range poolAddrs() {
		m, err := newMember(h.client, a)
		if err != nil {
			return err
		}
		h.closers = append(h.closers, func() { m.conn.Close() })
		h.pool = append(h.pool, m)
	}
	return nil
}

// now tells what the client's packets since an instant agree on.
func (h *host) now(since time.Time) (state, bool) {
	s, ok := h.pump.probers[0].now(since)
	for _, q := range h.pump.probers[1:] {
		other, otherOK := q.now(since)
		ok = ok && otherOK && other == s
	}
	return s, ok
}

// touch does what a policy may ban the client for.
func (h *host) touch() {
	for _, q := range h.pump.probers {
		q.banMe()
	}
}

// close ends everything on the host, in the reverse order.
func (h *host) close() {
	if h.program != nil {
		h.program.endAll()
	}
	for i := len(h.closers) - 1; i >= 0; i-- {
		h.closers[i]()
	}
	for _, n := range []*netns.Namespace{h.server, h.client} {
		if n != nil {
			n.Close()
		}
	}
	os.RemoveAll(h.folder)
}
