package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// echo sends ICMP echo requests.
type echo struct{ host }

func parsePing(target string) (attempt, error) {
	h, err := parseHost(target)
	return echo{h}, err
}

func (e echo) String() string { return "ping:" + e.host.String() }

func (e echo) run(ctx context.Context) error {
	addrs, err := e.lookup(ctx)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if err = ping(ctx, a.Unmap()); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

// protocol is what differs between ICMP for IPv4 and for IPv6.
type protocol struct {
	datagram, raw string // the networks of icmp.ListenPacket
	any           string
	number        int // of the IANA
	request       icmp.Type
	reply         icmp.Type
}

func protocolOf(a netip.Addr) protocol {
	if a.Is4() {
		return protocol{"udp4", "ip4:icmp", "0.0.0.0", 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply}
	}
	return protocol{"udp6", "ip6:ipv6-icmp", "::", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply}
}

// listen opens a socket that needs no privilege where the system allows it to
// this user's groups, else a raw one.
func (p protocol) listen(to netip.Addr) (*icmp.PacketConn, net.Addr, error) {
	conn, err := icmp.ListenPacket(p.datagram, p.any)
	if err == nil {
		return conn, &net.UDPAddr{IP: to.AsSlice(), Zone: to.Zone()}, nil
	}
	conn, rawErr := icmp.ListenPacket(p.raw, p.any)
	if rawErr == nil {
		return conn, &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}, nil
	}
	if errors.Is(rawErr, os.ErrPermission) {
		return nil, nil, fmt.Errorf("not permitted to ping (%w): it takes CAP_NET_RAW, or a group within the sysctl net.ipv4.ping_group_range; a tcp probe takes neither", rawErr)
	}
	return nil, nil, errors.Join(err, rawErr)
}

// ping is answered by a reply that carries what it sent: of raw sockets, each
// gets every process's.
func ping(ctx context.Context, to netip.Addr) error {
	p := protocolOf(to)
	conn, addr, err := p.listen(to)
	if err != nil {
		return err
	}
	defer conn.Close()
	nonce := []byte(rand.Text())
	request := icmp.Message{Type: p.request, Body: &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: 1, Data: nonce}}
	wire, err := request.Marshal(nil)
	if err != nil {
		return err
	}
	buf := make([]byte, 1500)
	return ask(ctx, conn, func() error {
		_, err := conn.WriteTo(wire, addr)
		return err
	}, func() (bool, error) {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return false, err
		}
		m, err := icmp.ParseMessage(p.number, buf[:n])
		if err != nil {
			return false, nil // somebody else's
		}
		reply, ok := m.Body.(*icmp.Echo)
		return ok && m.Type == p.reply && bytes.Equal(reply.Data, nonce), nil
	})
}
