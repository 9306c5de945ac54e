package netns_test

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
)

func TestVethCarriesPackets(t *testing.T) {
	for _, tt := range []struct{ name, a, b, network string }{
		{"IPv4", "192.0.2.1/24", "192.0.2.2/24", "udp4"},
		{"IPv6", "2001:db8::1/64", "2001:db8::2/64", "udp6"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := netnstest.New(t), netnstest.New(t)
			must(t, netns.Veth(a, "eth0", b, "eth0"))
			must(t, a.AddAddr("eth0", tt.a))
			must(t, b.AddAddr("eth0", tt.b))
			ip, _, _ := strings.Cut(tt.b, "/")
			echo(t, a, b, tt.network, ip)
		})
	}
}

func TestVethNumbered(t *testing.T) {
	a, b := netnstest.New(t), netnstest.New(t)
	must(t, netns.VethNumbered(77, a, "eth0", b, "eth0"))
	must(t, a.Do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err == nil && link.Index != 77 {
			t.Errorf("got interface number %d, want 77", link.Index)
		}
		return err
	}))
	if err := netns.VethNumbered(77, a, "eth1", b, "eth1"); err == nil {
		t.Error("two interfaces got the same number")
	}
}

func TestVethDetectsNoDuplicateAddresses(t *testing.T) {
	n := netnstest.New(t)
	must(t, netns.Veth(n, "left", n, "right"))
	read := func(file string) (content string) {
		must(t, n.Do(func() error {
			b, err := os.ReadFile("/proc/thread-self/net/" + file)
			content = string(b)
			return err
		}))
		return content
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		ready := 0
		for line := range strings.Lines(read("if_inet6")) {
			fields := strings.Fields(line)              // address, index, prefix length, scope, flags, link
			if fields[5] != "lo" && fields[4] == "80" { // linux/if_addr.h: IFA_F_PERMANENT alone, not IFA_F_TENTATIVE
				ready++
			}
		}
		if ready == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the links have no addresses that are ready:\n%s", read("if_inet6"))
		}
	}
	for _, link := range []string{"left", "right"} {
		for line := range strings.Lines(read("dev_snmp6/" + link)) {
			if fields := strings.Fields(line); fields[0] == "Icmp6OutNeighborSolicits" && fields[1] != "0" {
				t.Errorf("%s asked %s times whether somebody has its address", link, fields[1])
			}
		}
	}
}

func TestAddedAddressIsReadyAtOnce(t *testing.T) {
	n := netnstest.New(t)
	must(t, netns.Veth(n, "left", n, "right"))
	must(t, n.Sysctl("net/ipv6/conf/left/accept_dad", "1"))
	must(t, n.AddAddr("left", "2001:db8::1/64"))
	must(t, n.Do(func() error {
		c, err := net.ListenPacket("udp6", "[2001:db8::1]:0") // refused for a tentative address
		if err == nil {
			c.Close()
		}
		return err
	}))
}

func TestNewHasLoopback(t *testing.T) {
	n := netnstest.New(t)
	echo(t, n, n, "udp4", "127.0.0.1")
	echo(t, n, n, "udp6", "::1")
}

func TestRouterForwards(t *testing.T) {
	a, router, b := netnstest.New(t), netnstest.New(t), netnstest.New(t)
	must(t, netns.Veth(a, "eth0", router, "left"))
	must(t, netns.Veth(router, "right", b, "eth0"))
	must(t, a.AddAddr("eth0", "192.0.2.1/24"))
	must(t, router.AddAddr("left", "192.0.2.254/24"))
	must(t, router.AddAddr("right", "198.51.100.254/24"))
	must(t, b.AddAddr("eth0", "198.51.100.1/24"))
	must(t, a.AddRoute("0.0.0.0/0", "192.0.2.254"))
	must(t, b.AddRoute("192.0.2.0/24", "198.51.100.254"))
	must(t, router.Sysctl("net/ipv4/ip_forward", "1"))
	echo(t, a, b, "udp4", "198.51.100.1")
}

// echo sends a datagram from a to ip in b and waits for it to come back.
func echo(t *testing.T, a, b *netns.Namespace, network, ip string) {
	t.Helper()
	var server net.PacketConn
	must(t, b.Do(func() (err error) {
		server, err = net.ListenPacket(network, net.JoinHostPort(ip, "0"))
		return err
	}))
	defer server.Close()
	go func() {
		buf := make([]byte, 64)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			server.WriteTo(buf[:n], from)
		}
	}()
	var client net.Conn
	must(t, a.Do(func() (err error) {
		client, err = net.Dial(network, server.LocalAddr().String())
		return err
	}))
	defer client.Close()
	must(t, client.SetDeadline(time.Now().Add(10*time.Second)))
	if _, err := client.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, err := client.Read(buf)
	if err != nil || string(buf[:n]) != "ping" {
		t.Fatalf("got %q, %v, want the datagram back", buf[:n], err)
	}
}
