package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"moonlatch/engine/netns"
)

// The addresses are from RFC 5737: documentation, nobody's.
const (
	attackerAddr    = "203.0.113.9"
	serverToOutside = "203.0.113.1"
	adminAddr       = "198.51.100.7"
	serverToAdmin   = "198.51.100.1"
	sshPort         = "22"
	webPort         = "443"
)

// stage is three hosts and the cables between them. The server is the namespace
// of this process, so that the commands it starts run there.
type stage struct {
	server, attacker, admin *netns.Namespace
	services                *services
}

// build makes the hosts, wires them up and starts the server's services, all of
// which end with ctx or close.
func build(ctx context.Context) (*stage, error) {
	s := &stage{services: &services{}}
	var err error
	if s.server, err = netns.Current(); err == nil {
		err = s.server.Up("lo")
	}
	if err == nil {
		s.attacker, err = host(s.server, "attacker", attackerAddr, serverToOutside)
	}
	if err == nil {
		s.admin, err = host(s.server, "admin", adminAddr, serverToAdmin)
	}
	for _, port := range []string{sshPort, webPort} {
		if err == nil {
			err = s.services.listen(ctx, port)
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) close() {
	s.services.close()
	for _, n := range []*netns.Namespace{s.attacker, s.admin, s.server} {
		if n != nil {
			n.Close()
		}
	}
}

// host makes a host with one address, on a cable of its own to the server.
func host(server *netns.Namespace, name, addr, serverAddr string) (*netns.Namespace, error) {
	n, err := netns.New()
	if err != nil {
		return nil, err
	}
	err = netns.Veth(server, name, n, "eth0")
	if err == nil {
		err = errors.Join(server.AddAddr(name, serverAddr+"/24"), n.AddAddr("eth0", addr+"/24"))
	}
	if err != nil {
		n.Close()
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	return n, nil
}

// services are what listens on the server. Each sends back what it is sent.
type services struct {
	listeners []net.Listener
	running   sync.WaitGroup
}

func (s *services) listen(ctx context.Context, port string) error {
	l, err := net.Listen("tcp4", ":"+port)
	if err != nil {
		return err
	}
	s.listeners = append(s.listeners, l)
	s.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.running.Go(func() {
				stop := context.AfterFunc(ctx, func() { c.Close() })
				defer stop()
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	return nil
}

// close ends the services. Connections end when ctx or their other end does.
func (s *services) close() {
	for _, l := range s.listeners {
		l.Close()
	}
	s.running.Wait()
}
