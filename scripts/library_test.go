package scripts_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"moonlatch/engine/netns"
)

// attempt is a connection that somebody tries to make.
type attempt struct {
	from guest
	to   netip.Addr
	port int
	open bool // whether it is to succeed
}

// tryAll makes all the attempts at once.
func tryAll(t *testing.T, attempts ...attempt) {
	t.Helper()
	var all sync.WaitGroup
	for _, a := range attempts {
		all.Go(func() {
			got := a.from.connects(a.to, a.port)
			for end := time.Now().Add(10 * time.Second); a.open && !got && time.Now().Before(end); {
				got = a.from.connects(a.to, a.port) // on a busy machine a connection takes its time
			}
			if got != a.open {
				t.Errorf("from %s to port %d of %s: connected %v, want %v", a.from.ip4, a.port, a.to, got, a.open)
			}
		})
	}
	all.Wait()
}

// both is the same attempt over IPv4 and IPv6, at the guest's own server.
func both(g guest, open bool, ports ...int) (out []attempt) {
	for _, p := range ports {
		out = append(out, attempt{g, g.server4, p, open}, attempt{g, g.server6, p, open})
	}
	return out
}

// answers makes the guest listen on ports, in both families.
func (g guest) answers(t *testing.T, ports ...int) {
	t.Helper()
	must(t, g.Do(func() error { listen(t, ports...); return nil }))
}

// throughServer makes the server a router, and the guest's way to everything.
func (g guest) throughServer(t *testing.T) {
	t.Helper()
	server, err := netns.Current()
	must(t, err)
	defer server.Close()
	must(t, server.Sysctl("net/ipv4/ip_forward", "1"))
	must(t, server.Sysctl("net/ipv6/conf/all/forwarding", "1"))
	must(t, g.AddRoute("0.0.0.0/0", g.server4.String()))
	must(t, g.AddRoute("::/0", g.server6.String()))
}

func TestHygiene(t *testing.T) {
	d := serve(t, "hygiene.lua")
	g := plug(t, 60)
	for _, family := range []struct{ from, to netip.Addr }{{g.ip4, g.server4}, {g.ip6, g.server6}} {
		for _, flags := range []byte{0, fin | psh | urg, syn | fin, syn | rst, fin} {
			g.probeAt(t, family.from, family.to, flags, 443)
		}
		g.probeAt(t, family.from, family.to, syn, 0)
		g.probeAt(t, family.from, family.to, syn|ack, 443)
	}
	for _, source := range []string{"127.0.0.9", "224.0.0.9", "198.18.0.9"} {
		g.forge(t, source)
	}
	want := map[string]uint64{"null": 2, "xmas": 2, "syn fin": 2, "syn rst": 2, "fin": 2, "port 0": 2, "invalid": 2, "martian": 2, "unroutable": 1, "tiny mss": 0}
	for rule, n := range want {
		if got := packets(d, rule); got != n {
			t.Errorf("the rule %q took %d packets, want %d", rule, got, n)
		}
	}
	listen(t, 443)
	tryAll(t, both(g, true, 443)...)
}

// forge sends a datagram to the server in somebody else's name.
func (g guest) forge(t *testing.T, source string) {
	t.Helper()
	must(t, g.Do(func() error {
		c, err := net.ListenPacket("ip4:udp", "0.0.0.0")
		if err != nil {
			return err
		}
		defer c.Close()
		raw, err := ipv4.NewRawConn(c)
		if err != nil {
			return err
		}
		payload := []byte{0x9c, 0x40, 0, 53, 0, 8, 0, 0} // RFC 768: no checksum
		return raw.WriteTo(&ipv4.Header{Version: 4, Len: ipv4.HeaderLen, TotalLen: ipv4.HeaderLen + len(payload), TTL: 64, Protocol: 17,
			Src: net.ParseIP(source), Dst: g.server4.AsSlice()}, payload, nil)
	}))
}

func TestBastion(t *testing.T) {
	listen(t, 22, 443)
	d := serve(t, "bastion.lua")
	g, orderly, admin := plug(t, 61), plug(t, 62), plugAdmin(t, 63)
	tryAll(t, append(append(both(g, false, 22, 443), both(admin, true, 22)...), both(admin, false, 443)...)...)
	for _, port := range []int{7003, 8002, 9001} { // in order: as a scanner would
		orderly.tries(t, orderly.server4, port)
	}
	for _, server := range []netip.Addr{g.server4, g.server6} {
		for _, port := range []int{7003, 9001, 8002} {
			g.knock(server, port)
		}
		tryAll(t, attempt{g, server, 22, true})
	}
	tryAll(t, attempt{orderly, orderly.server4, 22, false})
	orderly.probe(t, syn, 81, 82, 83, 84, 85, 86)
	banned(t, d, orderly.ip4.String())
	admin.probe(t, syn, 81, 82, 83, 84, 85, 86)
	if _, ok := isBanned(t, d, g.ip4.String()); ok {
		t.Error("who knocks is banned")
	}
	if _, ok := isBanned(t, d, admin.ip4.String()); ok || !admin.connects(admin.server4, 22) {
		t.Error("the administrator is shut out")
	}
}

// knock sends a lone attempt to connect.
func (g guest) knock(server netip.Addr, port int) {
	g.Do(func() error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(server, uint16(port)).String(), 50*time.Millisecond)
		if err == nil {
			c.Close()
		}
		return nil
	})
}

func TestRouter(t *testing.T) {
	listen(t, 22, 53, 443)
	d := serve(t, "router.lua", `"eth0", "eth1"`, `"guest64", "guest65"`, "192.168.1.10", "192.168.1.2", "192.168.1.20", "192.168.1.2", "2001:db8:10::10", "2001:db8:10::2")
	out := plug(t, 64)
	in := plugAt(t, 65, netip.MustParseAddr("192.168.1.0"), netip.MustParseAddr("2001:db8:10::"))
	in.throughServer(t)
	must(t, out.AddRoute("2001:db8:10::/64", out.server6.String())) // and none to 192.168.1.0: that is masqueraded
	in.answers(t, 22, 80, 443)
	out.answers(t, 80, 443)
	tryAll(t,
		attempt{out, out.server4, 443, true}, attempt{out, out.server4, 2222, true}, // forwarded
		attempt{out, in.ip6, 443, true}, attempt{out, in.ip6, 22, false}, // doors
		attempt{out, out.server4, 22, false}, attempt{out, out.server6, 22, false},
		attempt{in, out.ip4, 80, true}, attempt{in, out.ip6, 80, true}, // out
		attempt{in, in.server4, 22, true}, attempt{in, in.server6, 53, true}, // the router's own
		attempt{in, out.server4, 2222, true}, // hairpin
		attempt{in, in.server6, 443, false},
	)
	must(t, out.AddRoute("192.168.1.0/24", out.server4.String()))
	tryAll(t, attempt{out, in.ip4, 80, false}, attempt{out, in.ip4, 22, false})
	if packets(d, "mss") == 0 {
		t.Error("no connection's maximum segment size was set")
	}
	out.probe(t, syn, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91)
	banned(t, d, out.ip4.String())
}

func TestContainers(t *testing.T) {
	listen(t, 22, 3306)
	serve(t, "containers.lua", `"docker*"`, `"guest67"`)
	out, box, admin := plug(t, 66), plug(t, 67), plugAdmin(t, 68)
	for _, g := range []guest{out, box, admin} {
		g.throughServer(t)
	}
	box.answers(t, 5432, 8080)
	out.answers(t, 80)
	docker(t, box, 80, 8080)
	docker(t, box, 5432, 5432)
	tryAll(t,
		attempt{out, out.server4, 80, true}, attempt{out, out.server6, 80, true}, // published, public
		attempt{out, out.server4, 5432, false}, attempt{out, out.server6, 5432, false}, // published, not public
		attempt{admin, admin.server4, 5432, true}, attempt{admin, admin.server6, 5432, true},
		attempt{out, box.ip4, 8080, false}, attempt{out, box.ip6, 8080, false}, // past the translation
		attempt{box, out.ip4, 80, true}, attempt{box, out.ip6, 80, true},
		attempt{out, out.server4, 22, true}, attempt{out, out.server4, 3306, false}, attempt{admin, admin.server4, 3306, true},
	)
}

// docker publishes a container's port as Docker does: in tables of its own.
func docker(t *testing.T, box guest, port, inside int) {
	t.Helper()
	rules := fmt.Sprintf(`
table inet docker {
	chain prerouting { type nat hook prerouting priority dstnat; }
	chain forward { type filter hook forward priority filter; }
}
add rule inet docker prerouting fib daddr type local tcp dport %[1]d dnat ip to %[3]s:%[2]d
add rule inet docker prerouting fib daddr type local tcp dport %[1]d dnat ip6 to [%[4]s]:%[2]d
add rule inet docker forward tcp dport %[2]d accept
`, port, inside, box.ip4, box.ip6)
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// The tunnel is a cable here: what a policy sees of it is the interface.
func TestWireGuard(t *testing.T) {
	listen(t, 22, 53, 443)
	d := serve(t, "wireguard.lua", `"eth0", "eth1", "wg0"`, `"guest69", "guest70", "guest71"`)
	out, in := plug(t, 69), plug(t, 70)
	peer := plugAt(t, 71, netip.MustParseAddr("10.8.0.0"), netip.MustParseAddr("fd08::"))
	for _, g := range []guest{in, peer} {
		g.throughServer(t)
	}
	in.answers(t, 80)
	out.answers(t, 80) // it has no way back to the peers: they are masqueraded
	tryAll(t, append(append(both(out, false, 22, 53), both(peer, true, 22, 53)...),
		append(both(peer, false, 443),
			attempt{peer, in.ip4, 80, true}, attempt{peer, in.ip6, 80, true},
			attempt{peer, out.ip4, 80, true}, attempt{peer, out.ip6, 80, true},
			attempt{in, peer.ip4, 80, false})...)...)
	for _, to := range []struct {
		from, to netip.Addr
		port     int
		arrives  bool
	}{{out.ip4, out.server4, 51820, true}, {out.ip6, out.server6, 51820, true}, {out.ip4, out.server4, 51821, false}} {
		if got := out.datagramArrives(t, to.from, to.to, to.port); got != to.arrives {
			t.Errorf("a datagram to port %d of %s arrives: %v, want %v", to.port, to.to, got, to.arrives)
		}
	}
	out.probe(t, syn, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91)
	banned(t, d, out.ip4.String())
}

func TestDatabase(t *testing.T) {
	listen(t, 22, 5432, 9187)
	d := serve(t, "database.lua", `"wg0"`, `"guest73"`, `"10.8.0.10-10.8.0.19"`, `"10.8.0.22"`, `"fd08::10"`, `"fd08::16"`)
	out := plug(t, 72)
	client := plugAt(t, 73, netip.MustParseAddr("10.8.0.20"), netip.MustParseAddr("fd08::14"))
	tryAll(t, append(append(both(out, false, 22, 5432), both(client, true, 5432)...), both(client, false, 22, 9187)...)...)
	if out.pings(t, out.server4) || !client.pings(t, client.server4) || !client.pings(t, client.server6) {
		t.Error("the server answers pings outside, or does not inside")
	}
	out.probe(t, syn, 81, 82, 83, 84, 85, 86)
	client.probe(t, syn, 81, 82, 83, 84, 85, 86)
	banned(t, d, out.ip4.String())
	if _, ok := isBanned(t, d, client.ip4.String()); ok {
		t.Error("a client is banned")
	}
}

func TestLists(t *testing.T) {
	listen(t, 22, 443)
	d := serve(t, "lists.lua")
	national := plug(t, 0)  // 203.0.113.0/30 and 2001:db8:1:0::/64
	bad := plug(t, 5)       // 203.0.113.20/30
	hoster := plug(t, 6)    // 203.0.113.24/30
	elsewhere := plug(t, 8) // on no list
	tryAll(t, append(append(both(national, true, 22, 443), both(bad, false, 22, 443)...),
		append(append(both(hoster, true, 443), both(hoster, false, 22)...),
			append(both(elsewhere, true, 443), both(elsewhere, false, 22)...)...)...)...)
	if packets(d, "bad") < 2 {
		t.Errorf("the rule \"bad\" took %d packets", packets(d, "bad"))
	}
	for range 40 {
		hoster.knock(hoster.server4, 443)
	}
	if packets(d, "too fast") == 0 {
		t.Error("a hoster's requests are not slowed down")
	}
	if c, err := net.DialTimeout("tcp", net.JoinHostPort(bad.ip4.String(), "443"), 400*time.Millisecond); err == nil {
		c.Close()
		t.Error("this host talks to who is on the drop list")
	}
}

func TestMail(t *testing.T) {
	open := []int{22, 25, 80, 443, 465, 587, 993, 995, 4190}
	listen(t, append(open, 110, 3306)...)
	d := serve(t, "mail.lua")
	g, many, other := plug(t, 74), plug(t, 75), plugAdmin(t, 76)
	tryAll(t, append(both(g, true, open...), both(g, false, 110, 3306)...)...)
	for range 25 { // connections that stay
		must(t, many.Do(func() error {
			c, err := net.DialTimeout("tcp", netip.AddrPortFrom(many.server4, 25).String(), time.Second)
			if err == nil {
				t.Cleanup(func() { c.Close() })
			}
			return nil
		}))
	}
	if packets(d, "smtp crowd") == 0 {
		t.Error("one server may have more than 20 connections for mail")
	}
	tryAll(t, attempt{g, g.server4, 25, true})
	ports := make([]int, 101)
	for i := range ports {
		ports[i] = 993
	}
	other.probe(t, syn, ports...)
	many.probe(t, syn, ports...)
	if b := banned(t, d, many.ip4.String()); b.By != "guessing" {
		t.Errorf("banned by %q", b.By)
	}
	if _, ok := isBanned(t, d, other.ip4.String()); ok {
		t.Error("the administrator is banned")
	}
}

func TestHoneypot(t *testing.T) {
	listen(t, 22)
	d := serve(t, "honeypot.lua")
	g, worm, burglar, admin := plug(t, 77), plug(t, 78), plug(t, 79), plugAdmin(t, 80)
	tryAll(t, append(both(g, false, 22), both(admin, true, 22)...)...)
	for _, server := range []netip.Addr{g.server4, g.server6} {
		g.sticks(t, server, 25)
	}
	worm.probe(t, syn, 23)
	if worm.pings(t, worm.server4) {
		t.Error("the trap let somebody go")
	}
	admin.probe(t, syn, 23)
	burglar.probe(t, syn, 6379, 6379, 6379)
	admin.probe(t, syn, 6379, 6379, 6379)
	if b := banned(t, d, burglar.ip4.String()); b.By != "bait" {
		t.Errorf("banned by %q", b.By)
	}
	if !admin.connects(admin.server4, 22) {
		t.Error("the administrator is caught")
	}
}

// sticks connects to the tarpit: nobody listens there, yet the connection is
// made, and not a byte gets through it.
func (g guest) sticks(t *testing.T, server netip.Addr, port int) {
	t.Helper()
	must(t, g.Do(func() error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(server, uint16(port)).String(), 5*time.Second)
		if err != nil {
			t.Errorf("the tarpit does not answer at %s: %v", server, err)
			return nil
		}
		defer c.Close()
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		time.Sleep(500 * time.Millisecond)
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(func(fd uintptr) {
			if unsent, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err != nil || unsent != len("hello") {
				t.Errorf("of 5 bytes %d have not got through at %s (%v): they are to stick", unsent, server, err)
			}
		})
	}))
}
