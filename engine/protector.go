package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"moonlatch/engine/ban"
	"moonlatch/engine/session"
)

// lookEvery is how often the daemon looks who is logged in, and which resolvers and routes this host has. Of addresses that come and
// go, and of routes, it hears at once.
const lookEvery = 3 * time.Second

// settleFor is how long it lets changes of addresses gather: an interface that comes up gets several.
const settleFor = 20 * time.Millisecond

// protector keeps protected what changes while the daemon runs: this host's addresses, its gateways and
// resolvers, the sessions of those who are logged in, and the names of a policy.
type protector struct {
	bans  *ban.Book
	log   *slog.Logger
	names *names

	mu   sync.Mutex
	now  map[string][]netip.Prefix // as the book was told, by owner
	deaf bool                      // who is logged in cannot be found out, as was said
}

func newProtector(bans *ban.Book, log *slog.Logger, kept namesFile) *protector {
	p := &protector{bans: bans, log: log, now: make(map[string][]netip.Prefix)}
	p.names = newNames(p, kept)
	return p
}

// run follows what changes until ctx ends.
func (p *protector) run(ctx context.Context) error {
	changed := p.listen(ctx)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-changed:
			sleepFor(ctx, settleFor)
		}
		if err := p.look(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("cannot keep protected what this host needs", "error", err)
		}
	}
}

func sleepFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// listen returns a channel that holds a token after addresses or routes have changed. Where
// the kernel tells nothing, looking every now and then must do.
func (p *protector) listen(ctx context.Context) <-chan struct{} {
	changed := make(chan struct{}, 1)
	note := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	addrs, routes := make(chan netlink.AddrUpdate, 16), make(chan netlink.RouteUpdate, 16)
	err := errors.Join(netlink.AddrSubscribe(addrs, ctx.Done()), netlink.RouteSubscribe(routes, ctx.Done()))
	if err != nil {
		p.log.Warn("new addresses of this host are noticed late", "error", err)
	}
	go func() {
		for range addrs {
			note()
		}
	}()
	go func() {
		for range routes {
			note()
		}
	}()
	return changed
}

// look brings the protection of what this host needs up to date.
func (p *protector) look(ctx context.Context) error {
	lists := hostProtection()
	logins, err := session.Live()
	p.say(err)
	if err == nil {
		lists[protectLogin] = nil
		for _, a := range logins {
			lists[protectLogin] = append(lists[protectLogin], host(a))
		}
	}
	return p.set(ctx, lists)
}

// say logs why it cannot be found out who is logged in, once.
func (p *protector) say(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && !p.deaf {
		p.log.Warn("who is logged in is not protected from bans", "error", err)
	}
	p.deaf = err != nil
}

// set tells the book of the lists that are other than it was told last.
func (p *protector) set(ctx context.Context, lists map[string][]netip.Prefix) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, owner := range slices.Sorted(maps.Keys(lists)) {
		list := slices.Clone(lists[owner])
		slices.SortFunc(list, netip.Prefix.Compare)
		if was, told := p.now[owner]; told && slices.Equal(was, list) {
			continue
		}
		if err := p.bans.Protect(ctx, owner, list); err != nil {
			errs = append(errs, fmt.Errorf("protect %s: %w", owner, err))
			continue
		}
		p.now[owner] = list
	}
	return errors.Join(errs...)
}
