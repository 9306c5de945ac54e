package scripts_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
	"moonlatch/scripts"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// serve puts a shipped policy in force in the namespace of this process, which
// is the server, and runs its detectors. Old and new, in pairs, change its text.
func serve(t *testing.T, name string, oldnew ...string) *engine.Daemon {
	t.Helper()
	netnstest.Kernel(t)
	text, err := fs.ReadFile(scripts.Policies(), name)
	must(t, err)
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(string(text), oldnew[i]) {
			t.Fatalf("%s does not hold %q", name, oldnew[i])
		}
	}
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(strings.NewReplacer(oldnew...).Replace(string(text))), 0o600))
	log := slog.New(slog.DiscardHandler)
	p, req, err := engine.Load(path, log)
	must(t, err)
	p.Close()

	ctx, cancel := context.WithCancel(context.Background())
	d, err := engine.Start(ctx, engine.Config{State: t.TempDir(), Log: log}, filepath.Join(t.TempDir(), "socket"))
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
		// This namespace is private: see netnstest.Kernel.
		if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	_, err = d.Apply(ctx, req)
	must(t, err)
	_, err = d.Confirm(ctx)
	must(t, err)
	return d
}

// listen makes the server listen on ports, in both address families.
func listen(t *testing.T, ports ...int) {
	t.Helper()
	for _, p := range ports {
		l, err := net.Listen("tcp", ":"+strconv.Itoa(p))
		must(t, err)
		t.Cleanup(func() { l.Close() })
	}
}

// guest is another host, on a cable of its own to the server.
type guest struct {
	*netns.Namespace
	ip4, ip6 netip.Addr // its own
	server4  netip.Addr // the server's end of the cable
	server6  netip.Addr
}

// plug makes a guest. Its number, from 0, is its own within a test binary: names
// and addresses of an earlier guest may not be free again yet.
func plug(t *testing.T, number int) guest {
	t.Helper()
	base := netip.MustParseAddr("203.0.113.0").As4()
	base[3] += byte(4 * number)
	return plugAt(t, number, netip.AddrFrom4(base), netip.MustParseAddr(fmt.Sprintf("2001:db8:1:%x::", number)))
}

// plugAdmin makes the guest that web.lua's example counts as an administrator.
func plugAdmin(t *testing.T, number int) guest {
	t.Helper()
	return plugAt(t, number, netip.MustParseAddr("192.0.2.4"), netip.MustParseAddr("2001:db8:0:17::"))
}

func plugAt(t *testing.T, number int, net4, net6 netip.Addr) guest {
	t.Helper()
	server, err := netns.Current()
	must(t, err)
	defer server.Close()
	g := guest{Namespace: netnstest.New(t)}
	g.server4, g.server6 = net4.Next(), net6.Next()
	g.ip4, g.ip6 = g.server4.Next(), g.server6.Next()
	link := "guest" + strconv.Itoa(number)
	must(t, netns.Veth(server, link, g.Namespace, "eth0"))
	must(t, server.AddAddr(link, g.server4.String()+"/30"))
	must(t, server.AddAddr(link, g.server6.String()+"/64"))
	must(t, g.AddAddr("eth0", g.ip4.String()+"/30"))
	must(t, g.AddAddr("eth0", g.ip6.String()+"/64"))
	awaitNeighbours(t, server, link, g.server6)
	awaitNeighbours(t, g.Namespace, "eth0", g.ip6)
	return g
}

// awaitNeighbours waits until an address can be asked for: the kernel joins its
// solicited-node group (RFC 4291, 2.7.1) some time after it was added, and what
// comes before that is lost for a second.
func awaitNeighbours(t *testing.T, n *netns.Namespace, link string, addr netip.Addr) {
	t.Helper()
	a := addr.As16()
	group := fmt.Sprintf("ff0200000000000000000001ff%x", a[13:])
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		var groups []byte
		must(t, n.Do(func() (err error) {
			groups, err = os.ReadFile("/proc/thread-self/net/igmp6")
			return err
		}))
		for l := range strings.Lines(string(groups)) {
			if f := strings.Fields(l); len(f) > 2 && f[1] == link && f[2] == group {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s on %s has joined no group %s:\n%s", addr, link, group, groups)
		}
	}
}

// connects reports whether the guest can connect to a port of the server.
func (g guest) connects(server netip.Addr, port int) bool {
	err := g.Do(func() error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(server, uint16(port)).String(), 400*time.Millisecond)
		if err == nil {
			c.Close()
		}
		return err
	})
	return err == nil
}

// tries tries to connect to all the ports at once.
func (g guest) tries(t *testing.T, server netip.Addr, ports ...int) {
	t.Helper()
	var all sync.WaitGroup
	for _, p := range ports {
		all.Go(func() { g.connects(server, p) })
	}
	all.Wait()
}

// pings reports whether the server answers the guest's echo request.
func (g guest) pings(t *testing.T, server netip.Addr) bool {
	t.Helper()
	network, request, reply := "ip4:icmp", byte(8), byte(0)
	if server.Is6() {
		network, request, reply = "ip6:ipv6-icmp", 128, 129 // here the kernel fills the checksum in
	}
	message := []byte{request, 0, 0, 0, 'p', 'i', 0, 1}
	if server.Is4() {
		binary.BigEndian.PutUint16(message[2:], checksum(message))
	}
	answered := false
	must(t, g.Do(func() error {
		c, err := net.ListenPacket(network, "")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.WriteTo(message, &net.IPAddr{IP: server.AsSlice()}); err != nil {
			return err
		}
		must(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		for buf := make([]byte, 256); !answered; {
			_, _, err := c.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			if err != nil {
				return err
			}
			answered = buf[0] == reply
		}
		return nil
	}))
	return answered
}

// probe sends one TCP segment with the given flags to each port, as scanners do.
func (g guest) probe(t *testing.T, flags byte, ports ...int) {
	t.Helper()
	must(t, g.Do(func() error {
		c, err := net.ListenPacket("ip4:tcp", g.ip4.String())
		if err != nil {
			return err
		}
		defer c.Close()
		for _, port := range ports {
			if _, err := c.WriteTo(g.segment(flags, port), &net.IPAddr{IP: g.server4.AsSlice()}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// segment is a TCP header (RFC 9293) from the guest to the server.
func (g guest) segment(flags byte, port int) []byte {
	s := make([]byte, 20)
	binary.BigEndian.PutUint16(s[0:], 40000) // source port
	binary.BigEndian.PutUint16(s[2:], uint16(port))
	binary.BigEndian.PutUint32(s[4:], 1) // sequence number
	s[12] = 5 << 4                       // header of five words
	s[13] = flags
	binary.BigEndian.PutUint16(s[14:], 1024) // window
	pseudo := slices.Concat(g.ip4.AsSlice(), g.server4.AsSlice(), []byte{0, 6, 0, byte(len(s))})
	binary.BigEndian.PutUint16(s[16:], checksum(slices.Concat(pseudo, s)))
	return s
}

// checksum is the internet checksum (RFC 1071) of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// banned waits until the target is banned and returns the ban.
func banned(t *testing.T, d *engine.Daemon, target string) control.Ban {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if b, ok := isBanned(t, d, target); ok {
			return b
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not banned", target)
		}
	}
}

func isBanned(t *testing.T, d *engine.Daemon, target string) (control.Ban, bool) {
	t.Helper()
	bans, err := d.Bans(t.Context())
	must(t, err)
	i := slices.IndexFunc(bans, func(b control.Ban) bool { return b.Target == target })
	if i < 0 {
		return control.Ban{}, false
	}
	return bans[i], true
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
