package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// resolveTimeout bounds what the load of a policy waits for one name.
const resolveTimeout = 3 * time.Second

// resolve looks a name's addresses up, as this host's programs would.
func resolve(r *net.Resolver, name string, patience time.Duration) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := r.LookupNetIP(ctx, "ip", name)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s was not resolved within %s: does a resolver of /etc/resolv.conf answer?", name, patience)
	}
	return list, err
}
