package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// host is an IP address, or a name to look up. Exactly one of the two is set.
type host struct {
	addr netip.Addr
	name string
}

// parseHost reads an address or a name; an IPv6 address may stand in brackets.
func parseHost(s string) (host, error) {
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		bare = s[1 : len(s)-1]
	}
	if a, err := netip.ParseAddr(bare); err == nil && (bare == s || a.Is6()) {
		return addressHost(a.Unmap())
	}
	if err := checkName(s); err != nil {
		return host{}, err
	}
	return host{name: s}, nil
}

func addressHost(a netip.Addr) (host, error) {
	if a.IsUnspecified() || a.IsMulticast() {
		return host{}, fmt.Errorf("%s is no host's address", a)
	}
	if strings.ContainsFunc(a.Zone(), func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/%[]@#", r) }) {
		return host{}, fmt.Errorf("%q is no interface", a.Zone())
	}
	return host{addr: a}, nil
}

// checkName holds a name to what the DNS carries (RFC 1123, and the underscore).
func checkName(s string) error {
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	switch {
	case s == "":
		return errors.New("the host is missing")
	case len(s) > 253:
		return errors.New("the host's name is longer than 253 bytes")
	case strings.Trim(labels[len(labels)-1], "0123456789") == "":
		return fmt.Errorf("%q is no IP address, and no name either", s)
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.ContainsFunc(l, notInName) {
			return fmt.Errorf("%q is no IP address, and no name that the DNS could know", s)
		}
	}
	return nil
}

func notInName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

// String writes an IPv6 address in brackets.
func (h host) String() string {
	switch {
	case h.name != "":
		return h.name
	case h.addr.Is6():
		return "[" + h.addr.String() + "]"
	}
	return h.addr.String()
}

// lookup returns the host's addresses, at least one.
func (h host) lookup(ctx context.Context) ([]netip.Addr, error) {
	if h.name == "" {
		return []netip.Addr{h.addr}, nil
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", h.name)
}

// endpoint is a host and a port.
type endpoint struct {
	host
	port uint16
}

// parseEndpoint reads HOST:PORT.
func parseEndpoint(s string) (endpoint, error) {
	name, digits, err := net.SplitHostPort(s)
	if err != nil {
		if strings.Count(s, ":") > 1 {
			return endpoint{}, errors.New("HOST:PORT is expected; an IPv6 address stands in brackets, as in [2001:db8::1]:443")
		}
		return endpoint{}, errors.New("HOST:PORT is expected, as in 192.0.2.1:443")
	}
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	h, err := parseHost(name)
	if err != nil {
		return endpoint{}, err
	}
	port, err := parsePort(digits)
	return endpoint{h, port}, err
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no port: a number from 1 to 65535 is expected", s)
	}
	return uint16(n), nil
}

func (e endpoint) String() string { return fmt.Sprintf("%s:%d", e.host, e.port) }
