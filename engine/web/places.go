package web

import (
	"net"
	"net/netip"
	"sync"
)

const (
	maxStreams = 64 // clients that listen at a time
	// maxOfOne is how many of them may come from one other host. On loopback, all come from one.
	maxOfOne = 16
)

// places are where clients listen.
type places struct {
	mu    sync.Mutex
	taken map[string]int // by the client's host
	all   int
}

func newPlaces() *places { return &places{taken: map[string]int{}} }

// enter takes a place for a client, if there is one for it. The caller calls leave once.
func (p *places) enter(client string) (leave func(), ok bool) {
	host, _, _ := net.SplitHostPort(client)
	a, _ := netip.ParseAddr(host)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == maxStreams || p.taken[host] == maxOfOne && !a.IsLoopback() {
		return nil, false
	}
	p.all++
	p.taken[host]++
	return func() { p.leave(host) }, true
}

func (p *places) leave(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.taken[host]--; p.taken[host] == 0 {
		delete(p.taken, host)
	}
}

// count is how many are taken.
func (p *places) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}
