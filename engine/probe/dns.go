package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// dns looks up a name's addresses, at a server of the system's or at the given one.
type dns struct {
	name   string
	server endpoint // port 0: the system's
}

const dnsPort = 53

func parseDNS(target string) (attempt, error) {
	name, server, given := strings.Cut(target, "@")
	h, err := parseHost(name)
	if err != nil {
		return nil, err
	}
	if h.name == "" {
		return nil, fmt.Errorf("%s is an address, and a name is expected: NAME or NAME@SERVER", h)
	}
	d := dns{name: h.name}
	if given {
		d.server, err = parseServer(server)
	}
	return d, err
}

// parseServer reads a host that may have a port.
func parseServer(s string) (endpoint, error) {
	if h, err := parseHost(s); err == nil {
		return endpoint{h, dnsPort}, nil
	}
	return parseEndpoint(s)
}

func (d dns) String() string {
	switch d.server.port {
	case 0:
		return "dns:" + d.name
	case dnsPort:
		return "dns:" + d.name + "@" + d.server.host.String()
	}
	return "dns:" + d.name + "@" + d.server.String()
}

func (d dns) run(ctx context.Context) error {
	half := ctx // a datagram may be lost: half of the time for a second one
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		half, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	err := d.lookup(half)
	if err != nil && half.Err() != nil && ctx.Err() == nil {
		err = d.lookup(ctx)
	}
	return err
}

func (d dns) lookup(ctx context.Context) error {
	var asked atomic.Bool
	resolver := net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		asked.Store(true)
		if d.server.port != 0 {
			address = d.server.String()
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	// The dot keeps the system's search list out of it.
	_, err := resolver.LookupNetIP(ctx, "ip", strings.TrimSuffix(d.name, ".")+".")
	if err == nil && !asked.Load() {
		return errors.New("no server was asked: the name stands in /etc/hosts")
	}
	var failed *net.DNSError
	if errors.As(err, &failed) && d.server.port != 0 {
		failed.Server = d.server.String() // the resolver thinks that it asked the system's
	}
	return err
}
