package engine

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// How often the names that a policy protects are resolved, where that works and where it does not.
const (
	resolveEvery = 5 * time.Minute
	resolveAgain = 15 * time.Second
)

// keepAgain is how old the time of an answer on disk may be that is still the same.
const keepAgain = time.Hour

// names are the names that the policies in force and on trial protect, and what they resolved to last.
type names struct {
	protector *protector
	file      namesFile
	resolve   func(name string) ([]netip.Addr, error)
	every     time.Duration
	again     time.Duration
	wake      chan struct{}

	mu   sync.Mutex
	want []string             // of the policy that runs
	last map[string]answer    // of each that ever resolved
	kept map[string]time.Time // when those resolved that the file has as they are
	old  map[string]bool      // known by the file alone
	bad  map[string]bool      // said to be unresolved
}

func newNames(p *protector, file namesFile) *names {
	n := &names{
		protector: p, file: file, every: resolveEvery, again: resolveAgain, wake: make(chan struct{}, 1),
		resolve: func(name string) ([]netip.Addr, error) { return resolve(net.DefaultResolver, name, resolveTimeout) },
		last:    make(map[string]answer), kept: make(map[string]time.Time), old: make(map[string]bool), bad: make(map[string]bool),
	}
	answers, err := file.read(time.Now())
	if err != nil {
		p.log.Error("protected names that do not resolve protect nobody before they do", "error", err)
	}
	for name, a := range answers {
		n.last[name], n.kept[name], n.old[name] = a, a.Resolved, true
	}
	return n
}

// protect makes list the names that are protected: at once those that are known, and the others as soon as they resolve. Those
// that are not on it any more are given up.
func (n *names) protect(ctx context.Context, list []string) error {
	n.mu.Lock()
	lists := make(map[string][]netip.Prefix)
	for _, name := range n.want {
		lists[protectName+name] = nil
	}
	n.want = slices.Clone(list)
	for _, name := range list {
		lists[protectName+name] = n.last[name].prefixes()
	}
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
	return n.protector.set(ctx, lists)
}

// known takes what names have just resolved to, and keeps it on disk.
func (n *names) known(resolved map[string][]netip.Prefix) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now, news := time.Now().UTC().Truncate(time.Second), false
	for name, list := range resolved {
		a := answer{Name: name, Resolved: now}
		for _, p := range list[:min(len(list), maxAddresses)] {
			a.Addresses = append(a.Addresses, p.Addr())
		}
		slices.SortFunc(a.Addresses, netip.Addr.Compare)
		at, kept := n.kept[name]
		news = news || !kept || now.Sub(at) > keepAgain || !slices.Equal(a.Addresses, n.last[name].Addresses)
		n.last[name] = a
		delete(n.old, name)
	}
	if news {
		n.keep(now)
	}
}

// keep writes what names resolved to last to disk. The caller holds n.mu.
func (n *names) keep(now time.Time) {
	maps.DeleteFunc(n.last, func(name string, a answer) bool {
		return now.Sub(a.Resolved) >= maxAnswerAge && !slices.Contains(n.want, name)
	})
	if err := n.file.write(slices.Collect(maps.Values(n.last))); err != nil {
		n.protector.log.Error("protected names protect nobody after a restart before they resolve", "error", err)
		return
	}
	clear(n.kept)
	for name, a := range n.last {
		n.kept[name] = a.Resolved
	}
}

// unresolved returns when a name resolved last that does not at the moment, or has not yet since the daemon started.
func (n *names) unresolved(name string) (last time.Time, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.old[name] && !n.bad[name] {
		return last, false
	}
	return n.last[name].Resolved, true
}

// run resolves the names again and again until ctx ends.
func (n *names) run(ctx context.Context) error {
	for {
		wait := n.every
		if !n.refresh(ctx) {
			wait = n.again
		}
		select {
		case <-ctx.Done():
			return nil
		case <-n.wake:
		case <-time.After(wait):
		}
	}
}

// refresh resolves all names and reports whether that worked. The addresses of one that does not resolve stay as they were.
func (n *names) refresh(ctx context.Context) bool {
	n.mu.Lock()
	want := slices.Clone(n.want)
	n.mu.Unlock()
	resolved, failed := resolveAll(want, n.resolve)
	n.known(resolved)
	lists := make(map[string][]netip.Prefix)
	for name, list := range resolved {
		lists[protectName+name] = list
	}
	n.say(resolved, failed)
	if ctx.Err() != nil || !n.still(want) {
		return true // a policy with other names has come, which wakes run
	}
	if err := n.protector.set(ctx, lists); err != nil {
		n.protector.log.Error("cannot protect the names of the policy", "error", err)
		return false
	}
	return len(failed) == 0
}

// still reports whether these names are wanted.
func (n *names) still(want []string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Equal(n.want, want)
}

// say logs which names begin and cease to resolve.
func (n *names) say(resolved map[string][]netip.Prefix, failed map[string]error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, err := range failed {
		if !n.bad[name] {
			n.protector.log.Warn("a protected name does not resolve: what it resolved to last stays protected",
				"name", name, "last", n.last[name].Addresses, "error", err)
		}
		n.bad[name] = true
	}
	for name, list := range resolved {
		if n.bad[name] {
			n.protector.log.Info("a protected name resolves again", "name", name, "addresses", list)
		}
		delete(n.bad, name)
	}
}

// resolveAll resolves names at the same time.
func resolveAll(names []string, resolve func(string) ([]netip.Addr, error)) (resolved map[string][]netip.Prefix, failed map[string]error) {
	resolved, failed = make(map[string][]netip.Prefix), make(map[string]error)
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			addrs, err := resolve(name)
			if err == nil && len(addrs) == 0 {
				err = fmt.Errorf("%s has no address", name)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[name] = err
				return
			}
			for _, a := range addrs {
				resolved[name] = append(resolved[name], host(a))
			}
		})
	}
	all.Wait()
	return resolved, failed
}
