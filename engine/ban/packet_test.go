package ban

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
)

// network is a far host, connected with the namespace of the tests or, over it, with another host.
type network struct {
	far   *netns.Namespace
	near  *netns.Namespace // where packets go to
	next  int
	dest4 string
	dest6 string
}

// Addresses that are never banned.
const (
	control4 = "192.0.2.250"
	control6 = "2001:db8:7fff::250"
)

// farAddrs are what the far host sends from.
func farAddrs() []string {
	return []string{
		"192.0.2.2", "192.0.2.3", "198.51.100.2", "198.51.100.130",
		"2001:db8:0:1::2", "2001:db8:0:1::3", "2001:db8:0:2::2", "2001:db8:8000::2",
		control4, control6,
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// here returns the namespace of the tests, which holds the bans.
func here(t testing.TB) *netns.Namespace {
	t.Helper()
	netnstest.Kernel(t)
	n, err := netns.Current()
	must(t, err)
	t.Cleanup(func() { n.Close() })
	return n
}

// connectFar connects a far host with the namespace of the tests.
func connectFar(t testing.TB) *network {
	t.Helper()
	n := &network{far: netnstest.New(t), near: here(t), dest4: "192.0.2.1", dest6: "2001:db8::1"}
	must(t, netns.Veth(n.near, "near0", n.far, "far0"))
	t.Cleanup(func() { deleteLink(t, "near0") })
	for _, addr := range []string{"192.0.2.1/24", "198.51.100.1/24", "2001:db8::1/32"} {
		must(t, n.near.AddAddr("near0", addr))
	}
	for _, addr := range farAddrs() {
		bits := "/24"
		if netip.MustParseAddr(addr).Is6() {
			bits = "/32"
		}
		must(t, n.far.AddAddr("far0", addr+bits))
	}
	return n
}

// deleteLink deletes a link at once: with its namespace it would go some time later.
func deleteLink(t testing.TB, name string) {
	t.Helper()
	if out, err := exec.Command("ip", "link", "delete", name).CombinedOutput(); err != nil {
		t.Errorf("delete link %s: %v\n%s", name, err, out)
	}
}

// connectThrough puts the namespace of the tests between the far host and another one, as a router.
func connectThrough(t testing.TB) *network {
	t.Helper()
	n := connectFar(t)
	router := n.near
	n.near = netnstest.New(t)
	n.dest4, n.dest6 = "203.0.113.2", "2001:db9::2"
	must(t, netns.Veth(router, "inner0", n.near, "inner1"))
	t.Cleanup(func() { deleteLink(t, "inner0") })
	must(t, router.AddAddr("inner0", "203.0.113.1/24"))
	must(t, router.AddAddr("inner0", "2001:db9::1/64"))
	must(t, n.near.AddAddr("inner1", "203.0.113.2/24"))
	must(t, n.near.AddAddr("inner1", "2001:db9::2/64"))
	must(t, n.near.AddRoute("0.0.0.0/0", "203.0.113.1"))
	must(t, n.near.AddRoute("::/0", "2001:db9::1"))
	must(t, n.far.AddRoute("203.0.113.0/24", "192.0.2.1"))
	must(t, n.far.AddRoute("2001:db9::/64", "2001:db8::1"))
	must(t, router.Sysctl("net/ipv4/ip_forward", "1"))
	must(t, router.Sysctl("net/ipv6/conf/all/forwarding", "1"))
	return n
}

// passes sends a packet of a protocol from an address, and one from an address that is never banned, and
// reports whether the first one arrives as well.
func (n *network) passes(t testing.TB, protocol, from string) bool {
	t.Helper()
	control, dest := control4, n.dest4
	if netip.MustParseAddr(from).Is6() {
		control, dest = control6, n.dest6
	}
	if protocol != "udp" {
		protocol = fmt.Sprintf("ip%s:%s", map[bool]string{true: "4", false: "6"}[dest == n.dest4], protocol)
	}
	var conn net.PacketConn
	must(t, n.near.Do(func() (err error) {
		conn, err = net.ListenPacket(protocol, address(protocol, dest))
		return err
	}))
	defer conn.Close()
	to := conn.LocalAddr().String()
	if protocol != "udp" {
		to = dest
	}
	n.next++
	probe, end := fmt.Sprintf("probe %d", n.next), fmt.Sprintf("end %d", n.next)
	must(t, n.far.Do(func() error {
		if err := send(protocol, from, to, probe); err != nil {
			return err
		}
		return send(protocol, control, to, end)
	}))
	return arrived(t, conn, probe, end)
}

func address(protocol, host string) string {
	if protocol == "udp" {
		return net.JoinHostPort(host, "0")
	}
	return host
}

func send(protocol, from, to, text string) error {
	var local net.Addr = &net.IPAddr{IP: net.ParseIP(from)}
	if protocol == "udp" {
		local = &net.UDPAddr{IP: net.ParseIP(from)}
	}
	conn, err := (&net.Dialer{LocalAddr: local}).Dial(protocol, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(text))
	return err
}

// arrived reports whether the probe arrives. The end must, and tells that the probe would have by then, or a moment later.
func arrived(t testing.TB, conn net.PacketConn, probe, end string) bool {
	t.Helper()
	buf := make([]byte, 2000)
	must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	got := false
	for {
		size, _, err := conn.ReadFrom(buf)
		switch text := string(buf[:max(size, 0)]); {
		case err != nil && end != "seen":
			t.Fatalf("what came behind it does not arrive: %v", err)
		case err != nil:
			return got
		case text == probe:
			got = true
		case text == end:
			must(t, conn.SetReadDeadline(time.Now().Add(30*time.Millisecond)))
			end = "seen"
		}
		if got && end == "seen" {
			return true
		}
	}
}

func (n *network) want(t testing.TB, passes bool, from ...string) {
	t.Helper()
	for _, addr := range from {
		if got := n.passes(t, "udp", addr); got != passes {
			t.Errorf("a packet from %s passes: %t, want %t", addr, got, passes)
		}
	}
}

func TestBanDropsPackets(t *testing.T) {
	n := connectFar(t)
	b := open(t, Config{})
	n.want(t, true, farAddrs()...)
	for _, tt := range []struct {
		target  string
		dropped []string
		passing []string
	}{
		{"192.0.2.2", []string{"192.0.2.2"}, []string{"192.0.2.3", "198.51.100.2"}},
		{"198.51.100.0/25", []string{"198.51.100.2"}, []string{"198.51.100.130", "192.0.2.2"}},
		{"2001:db8:0:1::2", []string{"2001:db8:0:1::2"}, []string{"2001:db8:0:1::3"}},
		{"2001:db8:0:1::/64", []string{"2001:db8:0:1::2", "2001:db8:0:1::3"}, []string{"2001:db8:0:2::2"}},
		{"2001:db8:8000::/33", []string{"2001:db8:8000::2"}, []string{"2001:db8:0:1::2"}},
	} {
		t.Run(tt.target, func(t *testing.T) {
			mustBan(t, b, ask(tt.target, time.Hour))
			n.want(t, false, tt.dropped...)
			n.want(t, true, tt.passing...)
			for _, addr := range tt.dropped {
				if n.passes(t, "253", addr) { // RFC 3692: a protocol for experiments
					t.Errorf("a packet of protocol 253 from %s passes", addr)
				}
			}
			must(t, b.Unban(t.Context(), prefix(tt.target)))
			n.want(t, true, tt.dropped...)
		})
	}
	for _, c := range mustCounters(t, b) {
		if c.Packets == 0 {
			t.Errorf("counter %s counted nothing", c.Name)
		}
	}
}

type counted struct {
	Name    string
	Packets uint64
}

func mustCounters(t testing.TB, b *Book) []counted {
	t.Helper()
	counters, err := b.nft.Counters(core())
	must(t, err)
	if len(counters) != 2 {
		t.Fatalf("counters = %+v, want banned4 and banned6", counters)
	}
	var out []counted
	for _, c := range counters {
		out = append(out, counted{c.Name, c.Packets})
	}
	return out
}

func TestBanDropsForwardedPackets(t *testing.T) {
	n := connectThrough(t)
	b := open(t, Config{})
	n.want(t, true, "192.0.2.2", "2001:db8:0:1::2")
	mustBan(t, b, ask("192.0.2.2", time.Hour))
	mustBan(t, b, ask("2001:db8:0:1::/64", time.Hour))
	n.want(t, false, "192.0.2.2", "2001:db8:0:1::2")
	n.want(t, true, "192.0.2.3", "2001:db8:0:2::2")
}

// TestBanCutsEstablishedConnection, even where the ruleset accepts established connections first.
func TestBanCutsEstablishedConnection(t *testing.T) {
	n := connectFar(t)
	b := open(t, Config{})
	command(t, `add table inet other; add chain inet other input { type filter hook input priority filter; policy accept; };
		add rule inet other input ct state established accept`)
	listener, err := net.Listen("tcp", net.JoinHostPort(n.dest4, "0"))
	must(t, err)
	defer listener.Close()
	var far net.Conn
	must(t, n.far.Do(func() (err error) {
		far, err = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("192.0.2.2")}}).Dial("tcp", listener.Addr().String())
		return err
	}))
	defer far.Close()
	near, err := listener.Accept()
	must(t, err)
	defer near.Close()
	receive := func(within time.Duration) error {
		buf := make([]byte, 1)
		must(t, near.SetReadDeadline(time.Now().Add(within)))
		_, err := near.Read(buf)
		return err
	}
	write := func() {
		t.Helper()
		_, err := far.Write([]byte("x"))
		must(t, err)
	}
	write()
	must(t, receive(time.Minute))
	mustBan(t, b, ask("192.0.2.2", time.Hour))
	write()
	if receive(300*time.Millisecond) == nil {
		t.Error("the connection is still alive")
	}
	must(t, b.Unban(context.Background(), prefix("192.0.2.2")))
	must(t, receive(time.Minute)) // sent again by TCP: it was the ban
}

// TestProtectedWins: even over elements that somebody added by hand.
func TestProtectedWins(t *testing.T) {
	n := connectFar(t)
	b := open(t, Config{})
	mustBan(t, b, ask("192.0.2.2", time.Hour))
	mustBan(t, b, ask("2001:db8:0:1::/64", time.Hour))
	n.want(t, false, "192.0.2.2", "2001:db8:0:1::2")
	mustProtect(t, b, "policy", "192.0.2.2", "2001:db8:0:1::2")
	n.want(t, true, "192.0.2.2", "2001:db8:0:1::2")
	command(t, "add element inet moonlatch banned4 { 192.0.2.2 timeout 1h }; add element inet moonlatch banned4net { 192.0.2.0/25 timeout 1h };"+
		"add element inet moonlatch banned6_64 { 2001:db8:0:1:: timeout 1h }")
	n.want(t, true, "192.0.2.2", "2001:db8:0:1::2")
	n.want(t, false, "192.0.2.3", "2001:db8:0:1::3")
}

// TestNoGapWhileMending: while the table is completed again and again, no packet of a banned address passes.
func TestNoGapWhileMending(t *testing.T) {
	n := connectFar(t)
	b := open(t, Config{})
	mustBan(t, b, ask("192.0.2.2", time.Hour))
	done := make(chan error, 1)
	go func() {
		for range 8 {
			if err := b.nft.Run(t.Context(), []byte(script(hashSize))); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 10 {
		n.want(t, false, "192.0.2.2")
	}
	must(t, <-done)
}
