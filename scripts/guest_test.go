package scripts_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
)

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
	request, reply := byte(8), byte(0) // RFC 792
	if server.Is6() {
		request, reply = 128, 129 // RFC 4443
	}
	answered := false
	g.icmp(t, server, func(c net.PacketConn) error {
		if _, err := c.WriteTo(icmpMessage(server, request, 0), &net.IPAddr{IP: server.AsSlice()}); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
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
	})
	return answered
}

// sendICMP sends one ICMP or ICMPv6 message to the server.
func (g guest) sendICMP(t *testing.T, server netip.Addr, typ, code byte) {
	t.Helper()
	g.icmp(t, server, func(c net.PacketConn) error {
		_, err := c.WriteTo(icmpMessage(server, typ, code), &net.IPAddr{IP: server.AsSlice()})
		return err
	})
}

// icmp opens a raw socket on the guest.
func (g guest) icmp(t *testing.T, server netip.Addr, use func(net.PacketConn) error) {
	t.Helper()
	network := "ip4:icmp"
	if server.Is6() {
		network = "ip6:ipv6-icmp"
	}
	must(t, g.Do(func() error {
		c, err := net.ListenPacket(network, "")
		if err != nil {
			return err
		}
		defer c.Close()
		return use(c)
	}))
}

// icmpMessage is a message with room for the header that an error quotes.
func icmpMessage(to netip.Addr, typ, code byte) []byte {
	m := make([]byte, 8+20)
	m[0], m[1] = typ, code
	if to.Is4() { // the kernel fills ICMPv6's in
		binary.BigEndian.PutUint16(m[2:], checksum(m))
	}
	return m
}

// probe sends one TCP segment with the given flags to each port, as scanners do.
func (g guest) probe(t *testing.T, flags byte, ports ...int) {
	t.Helper()
	g.probeAt(t, g.ip4, g.server4, flags, ports...)
}

// probeAt is probe from and to addresses of either family.
func (g guest) probeAt(t *testing.T, from, to netip.Addr, flags byte, ports ...int) {
	t.Helper()
	network := "ip4:tcp"
	if from.Is6() {
		network = "ip6:tcp"
	}
	must(t, g.Do(func() error {
		c, err := net.ListenPacket(network, from.String())
		if err != nil {
			return err
		}
		defer c.Close()
		for _, port := range ports {
			if _, err := c.WriteTo(segment(from, to, flags, port), &net.IPAddr{IP: to.AsSlice()}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// segment is a TCP header (RFC 9293).
func segment(from, to netip.Addr, flags byte, port int) []byte {
	s := make([]byte, 20)
	binary.BigEndian.PutUint16(s[0:], 40000) // source port
	binary.BigEndian.PutUint16(s[2:], uint16(port))
	binary.BigEndian.PutUint32(s[4:], 1) // sequence number
	s[12] = 5 << 4                       // header of five words
	s[13] = flags
	binary.BigEndian.PutUint16(s[14:], 1024) // window
	pseudo := slices.Concat(from.AsSlice(), to.AsSlice(), []byte{0, 6, 0, byte(len(s))})
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

// linkLocal is the guest's link-local address.
func (g guest) linkLocal(t *testing.T) (local netip.Addr) {
	t.Helper()
	must(t, g.Do(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		addrs, err := eth0.Addrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsLinkLocalUnicast() {
				local = p.Addr().WithZone("eth0")
			}
		}
		return err
	}))
	return local
}

// datagramArrives sends a datagram to a socket on the server and reports whether
// it gets there.
func (g guest) datagramArrives(t *testing.T, from, to netip.Addr, port int) bool {
	t.Helper()
	server := netip.AddrPortFrom(to, uint16(port))
	l, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(server))
	must(t, err)
	defer l.Close()
	must(t, g.Do(func() error {
		c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(server))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		return err
	}))
	must(t, l.SetReadDeadline(time.Now().Add(400*time.Millisecond)))
	_, err = l.Read(make([]byte, 16))
	return err == nil
}

// refused sends a datagram from the server to a port that nobody listens on and
// returns the error that comes back.
func refused(addr netip.Addr) error {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 9)))
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 16))
	return err
}
