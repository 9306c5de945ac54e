package connection

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rules track connections, let in and through what is established and what begins with a SYN, and translate:
// port 81 of this host is port 80 of the inner one, and what the inner one opens goes out as this host.
const rules = `
table inet t {
	chain filter { ct state established accept; tcp flags & (syn | ack) == syn accept; meta l4proto { icmp, ipv6-icmp } accept; drop; }
	chain input { type filter hook input priority 0; jump filter; }
	chain forward { type filter hook forward priority 0; jump filter; }
	chain output { type filter hook output priority 0; ct state established,new accept; }
	chain dstnat { type nat hook prerouting priority dstnat; iifname "far0" tcp dport 81 dnat ip to 10.0.0.2:80; iifname "far0" tcp dport 81 dnat ip6 to [2001:db8:1::2]:80; }
	chain srcnat { type nat hook postrouting priority srcnat; oifname "far0" masquerade; }
}
`

// world is a far host with two addresses, this one, and an inner one behind it.
type world struct {
	t          *testing.T
	far, inner *netns.Namespace
	here       *netns.Namespace
}

func newWorld(t *testing.T) *world {
	netnstest.Kernel(t)
	here, err := netns.Current()
	must(t, err)
	w := &world{t, netnstest.New(t), netnstest.New(t), here}
	must(t, netns.Veth(here, "far0", w.far, "eth0"))
	must(t, netns.Veth(here, "inner0", w.inner, "eth0"))
	t.Cleanup(func() {
		exec.Command("ip", "link", "delete", "far0").Run()
		exec.Command("ip", "link", "delete", "inner0").Run()
		exec.Command("nft", "flush", "ruleset").Run()
		here.Close()
	})
	for _, a := range []struct {
		n    *netns.Namespace
		link string
		addr []string
	}{
		{here, "far0", []string{"192.0.2.1/24", "2001:db8::1/64"}}, {w.far, "eth0", []string{"192.0.2.8/24", "192.0.2.9/24", "2001:db8::8/64", "2001:db8::9/64"}},
		{here, "inner0", []string{"10.0.0.1/24", "2001:db8:1::1/64"}}, {w.inner, "eth0", []string{"10.0.0.2/24", "2001:db8:1::2/64"}},
	} {
		for _, addr := range a.addr {
			must(t, a.n.AddAddr(a.link, addr))
		}
	}
	must(t, w.inner.AddRoute("0.0.0.0/0", "10.0.0.1"))
	must(t, w.inner.AddRoute("::/0", "2001:db8:1::1"))
	must(t, here.Sysctl("net/ipv4/ip_forward", "1"))
	must(t, here.Sysctl("net/ipv6/conf/all/forwarding", "1"))
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader(rules)
	out, err := nft.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, n := range []*netns.Namespace{here, w.far, w.inner} {
		w.listen(n)
	}
	return w
}

// listen serves an echo on port 80.
func (w *world) listen(n *netns.Namespace) {
	var l net.Listener
	must(w.t, n.Do(func() (err error) { l, err = net.Listen("tcp", ":80"); return err }))
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.t.Cleanup(func() { c.Close() })
			go func() {
				buf := make([]byte, 100)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					c.Write(buf[:n])
				}
			}()
		}
	}()
}

// dial opens a connection from a namespace and an address, which works.
func (w *world) dial(from *netns.Namespace, local, to string) net.Conn {
	w.t.Helper()
	var c net.Conn
	must(w.t, from.Do(func() (err error) {
		d := net.Dialer{Timeout: time.Minute}
		if local != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
		}
		c, err = d.Dial("tcp", to)
		return err
	}))
	w.t.Cleanup(func() { c.Close() })
	if !works(c, time.Minute) {
		w.t.Fatalf("the connection from %s to %s does not work at all", local, to)
	}
	return c
}

// works sends something and waits for its echo.
func works(c net.Conn, patience time.Duration) bool {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("hello")); err != nil {
		return false
	}
	buf := make([]byte, 5)
	n, err := c.Read(buf)
	return err == nil && n > 0
}

// tracked is whether the kernel tracks something with an address.
func tracked(t *testing.T, addr string) bool {
	t.Helper()
	for _, family := range []string{"ipv4", "ipv6"} {
		out, err := exec.Command("conntrack", "-L", "-f", family).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "src="+addr+" ") && strings.Contains(line, "ESTABLISHED") {
				return true
			}
		}
	}
	return false
}

// TestCut ends the connections of one far address, of every kind, and leaves those of the other alone.
func TestCut(t *testing.T) {
	w := newWorld(t)
	type conns struct {
		name string
		bad  net.Conn
		good net.Conn
	}
	of := func(name string, dial func(far string) net.Conn, bad, good string) conns {
		return conns{name, dial(bad), dial(good)}
	}
	far4 := []string{"192.0.2.9", "192.0.2.8"}
	far6 := []string{"2001:db8::9", "2001:db8::8"}
	var all []conns
	for _, v := range []struct {
		far        []string
		near, deep string
	}{{far4, "192.0.2.1", "10.0.0.2"}, {far6, "2001:db8::1", "2001:db8:1::2"}} {
		port := func(host string, port int) string { return net.JoinHostPort(host, fmt.Sprint(port)) }
		all = append(all,
			of("to this host", func(a string) net.Conn { return w.dial(w.far, a, port(v.near, 80)) }, v.far[0], v.far[1]),
			of("of this host", func(a string) net.Conn { return w.dial(w.here, "", port(a, 80)) }, v.far[0], v.far[1]),
			of("through this host, to a port of it", func(a string) net.Conn { return w.dial(w.far, a, port(v.near, 81)) }, v.far[0], v.far[1]),
			of("from inside, masqueraded", func(a string) net.Conn { return w.dial(w.inner, "", port(a, 80)) }, v.far[0], v.far[1]),
		)
	}
	if !tracked(t, far4[0]) || !tracked(t, far6[0]) {
		t.Fatal("the kernel does not track the connections")
	}
	n, err := Cut([]netip.Prefix{netip.MustParsePrefix(far4[0] + "/32"), netip.MustParsePrefix(far6[0] + "/128")})
	must(t, err)
	if n < len(all) {
		t.Errorf("%d connections were cut, want %d and more", n, len(all))
	}
	for _, c := range all {
		if !works(c.good, time.Minute) {
			t.Errorf("%s: another address' connection is cut, too", c.name)
		}
	}
	for _, c := range all {
		if works(c.bad, 200*time.Millisecond) {
			t.Errorf("%s: the connection goes on", c.name)
		}
	}
	for _, a := range []string{far4[0], far6[0]} {
		if tracked(t, a) {
			t.Errorf("connections of %s are tracked still", a)
		}
	}
	// They are not banned, so they can begin anew.
	w.dial(w.far, far4[0], "192.0.2.1:80")
	if n, err := Cut([]netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}); n != 0 || err != nil {
		t.Errorf("nobody's connections: %d, %v", n, err)
	}
}

// TestFindOpened knows whom this host connected to, and not who connected to it.
func TestFindOpened(t *testing.T) {
	w := newWorld(t)
	w.dial(w.far, "192.0.2.8", "192.0.2.1:80")
	w.dial(w.far, "2001:db8::8", "[2001:db8::1]:80")
	w.dial(w.here, "", "192.0.2.9:80")
	w.dial(w.here, "", "[2001:db8::9]:80")
	udp, err := net.Dial("udp", "10.0.0.2:53")
	must(t, err)
	defer udp.Close()
	opened, err := FindOpened()
	must(t, err)
	for p, want := range map[string]bool{
		"192.0.2.9/32": true, "192.0.2.8/32": false, "2001:db8::9/128": true, "2001:db8::8/128": false, "2001:db8::8/125": true,
		"192.0.2.0/24": true, "203.0.113.0/24": false, "10.0.0.2/32": true,
	} {
		if got := opened(netip.MustParsePrefix(p)); got != want {
			t.Errorf("opened a connection to %s: %v, want %v", p, got, want)
		}
	}
	peers, err := Peers()
	must(t, err)
	found := false
	for _, a := range peers {
		found = found || a == netip.MustParseAddr("192.0.2.8")
	}
	if !found {
		t.Errorf("the peers are %v", peers)
	}
}
