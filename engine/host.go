package engine

import (
	"bufio"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/vishvananda/netlink"

	"moonlatch/engine/geo"
	"moonlatch/engine/policy"
)

// hostAddresses are those that must never be banned on this host.
func hostAddresses() []netip.Prefix {
	var out []netip.Prefix
	lists := hostProtection()
	for _, owner := range slices.Sorted(maps.Keys(lists)) {
		out = append(out, lists[owner]...)
	}
	return out
}

// hostProtection is what this host cannot do without, by what it is to it: its own addresses, its default gateways and its
// resolvers. What cannot be read is left out: it only makes for fewer protected addresses.
func hostProtection() map[string][]netip.Prefix {
	return map[string][]netip.Prefix{
		protectHost: ownAddresses(), protectGateway: gateways(), protectResolver: resolvers("/etc/resolv.conf"),
	}
}

func gateways() []netip.Prefix {
	var out []netip.Prefix
	if routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL); err == nil {
		for _, r := range routes {
			gateway, ok := netip.AddrFromSlice(r.Gw)
			if ok && (r.Dst == nil || r.Dst.IP.IsUnspecified()) {
				out = append(out, host(gateway))
			}
		}
	}
	return out
}

func ownAddresses() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if own, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, host(own))
			}
		}
	}
	return out
}

// resolvers reads the name servers of a resolv.conf(5).
func resolvers(path string) []netip.Prefix {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []netip.Prefix
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			out = append(out, host(a))
		}
	}
	return out
}

// environment is what a policy may know of this host, and what it may do.
func environment(log *slog.Logger, actions policy.Actions, name func(uint32) string) policy.Env {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	return policy.Env{
		Actions: actions, Log: log, Interfaces: interfaceNames, OpenGeo: geo.Open, Addresses: addresses, Hostname: hostname, InterfaceName: name,
		Resolve: func(name string) ([]netip.Addr, error) { return resolve(net.DefaultResolver, name, resolveTimeout) },
	}
}

// inFolder is the environment of a policy whose file, on this host, is at a path; "" for nowhere.
func inFolder(env policy.Env, path string) policy.Env {
	if path != "" {
		env.Folder = filepath.Dir(path)
	}
	return env
}

// OwnAddresses are the addresses of this host.
func OwnAddresses() []netip.Addr { return addresses() }

func addresses() []netip.Addr {
	var out []netip.Addr
	for _, p := range ownAddresses() {
		out = append(out, p.Addr())
	}
	return out
}

func interfaceNames() []string {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	names := make([]string, len(all))
	for i, l := range all {
		names[i] = l.Name
	}
	return names
}

// links knows the names of the interfaces, for handlers and for filters on the
// packet path, which cannot wait for the kernel. Its zero value is ready.
type links struct {
	names atomic.Pointer[map[uint32]string]
}

// refresh reads the names; the daemon does so every now and then.
func (l *links) refresh() {
	all, err := net.Interfaces()
	if err != nil {
		return
	}
	names := make(map[uint32]string, len(all))
	for _, i := range all {
		names[uint32(i.Index)] = i.Name
	}
	l.names.Store(&names)
}

// name returns an interface's name, "" for one that is not known.
func (l *links) name(index uint32) string {
	if names := l.names.Load(); names != nil {
		return (*names)[index]
	}
	return ""
}

// openFolder opens a policy's folder so that nothing outside of it can be read,
// not even through a symbolic link.
func openFolder(path string) (fs.FS, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return root.FS(), nil
}

// readable tells what keeps a file from being read.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// Environment is what a policy may know of this host, where it bans nobody.
func Environment(log *slog.Logger) policy.Env { return environment(log, nil, nil) }
