package main

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/netns"
)

const (
	firstPort  = 7001
	touchPort  = 7100                  // who sends to it is banned, where a policy says so
	beat       = 10 * time.Millisecond // between bursts
	window     = 8                     // how many of the last bursts tell what is in force now
	answerTime = 40 * time.Millisecond // how old they are at least

	// softTime is how long a packet may be under way inside the kernel. It takes microseconds on an
	// idle machine; on a busy one, the kernel's own threads wait for their turn.
	softTime = time.Second
)

// A pump sends bursts from the client's addresses to every port of the server, at a steady
// beat, and sends back what the server gets. It is one goroutine, so that a busy
// machine holds up all of it or nothing: what it has not looked at is not judged.
type pump struct {
	server  [ports]int // sockets of the server
	probers []*prober
	delays  *delays

	laps []lap // the last ones
}

// lap is the time in which a pump dealt with all that had come in before.
type lap struct{ began, ended time.Time }

// prober is what a pump knows of one address family.
type prober struct {
	socket int // of the client
	to     [ports]unix.Sockaddr
	touch  unix.Sockaddr
	seq    sequence

	mu     sync.Mutex
	first  uint32  // number of bursts[0]
	bursts []burst // not judged yet
	back   []uint8 // which ports answered, of each
}

// newPump makes the sockets: those of the server, and one for each pair of addresses.
func newPump(h *host, pairs [][2]netip.Addr) (p *pump, err error) {
	p = &pump{delays: &h.delays}
	for i := range p.server {
		if p.server[i], err = udpSocket(h.server, netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(firstPort+i))); err != nil {
			return nil, err
		}
	}
	for _, pair := range pairs {
		client, server := pair[0], pair[1]
		q := &prober{touch: sockaddr(netip.AddrPortFrom(server, touchPort)), seq: sequence{judge: h.judge, family: "IPv4"}}
		if client.Is6() {
			q.seq.family = "IPv6"
		}
		if q.socket, err = udpSocket(h.client, netip.AddrPortFrom(client, 0)); err != nil {
			return nil, err
		}
		for i := range q.to {
			q.to[i] = sockaddr(netip.AddrPortFrom(server, uint16(firstPort+i)))
		}
		p.probers = append(p.probers, q)
	}
	return p, nil
}

func udpSocket(n *netns.Namespace, at netip.AddrPort) (fd int, err error) {
	family := unix.AF_INET
	if at.Addr().Is6() {
		family = unix.AF_INET6
	}
	err = n.Do(func() (err error) {
		if fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(fd, sockaddr(at))
	})
	return fd, err
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// run works until ctx ends and everything is judged.
func (p *pump) run(ctx context.Context) {
	next := time.Now()
	end := time.Time{}
	for end.IsZero() || time.Now().Before(end) {
		if ctx.Err() != nil && end.IsZero() {
			end = time.Now().Add(2*softTime + 10*beat)
		}
		if now := time.Now(); end.IsZero() && !now.Before(next) {
			p.delays.add(now.Sub(next), "the client")
			for _, q := range p.probers {
				q.burst()
			}
			next = now.Add(beat)
		}
		p.wait(max(time.Millisecond, min(beat, time.Until(next))))
		p.lap()
	}
	for _, fd := range p.server {
		unix.Close(fd)
	}
	for _, q := range p.probers {
		unix.Close(q.socket)
	}
}

// wait waits until something has come in.
func (p *pump) wait(most time.Duration) {
	var fds []unix.PollFd
	for _, fd := range p.server {
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	for _, q := range p.probers {
		fds = append(fds, unix.PollFd{Fd: int32(q.socket), Events: unix.POLLIN})
	}
	unix.Poll(fds, int(most.Milliseconds())) // if it fails, the lap finds nothing
}

// lap deals with all that has come in, and then judges the bursts whose packets had the
// time to reach a lap, and their answers another one.
func (p *pump) lap() {
	began := time.Now()
	b := make([]byte, 64)
	p.answer(b)
	for _, q := range p.probers {
		q.read(b)
	}
	for len(p.laps) > 1 && began.Sub(p.laps[1].ended) > softTime {
		p.laps = p.laps[1:]
	}
	if len(p.laps) > 0 && began.Sub(p.laps[0].ended) > softTime {
		for _, q := range p.probers {
			p.delays.add(q.judge(p.laps[0].began.Add(-softTime)), "a packet")
		}
	}
	p.laps = append(p.laps, lap{began, time.Now()})
}

// request is one that the server has got.
type request struct {
	fd   int
	text string
	from unix.Sockaddr
}

// answer sends back what the server has got: of a burst, nobody's port first and last, as it was
// sent, so that answers that meet a change look like no policy's either.
func (p *pump) answer(b []byte) {
	var got, nobodys []request
	for i, fd := range p.server {
		for {
			n, from, err := unix.Recvfrom(fd, b, 0)
			if err == unix.EAGAIN {
				break
			}
			switch {
			case err != nil || from == nil:
			case i == variants:
				nobodys = append(nobodys, request{fd, string(b[:n]), from})
			default:
				got = append(got, request{fd, string(b[:n]), from})
			}
		}
	}
	for _, r := range slices.Concat(nobodys, got, nobodys) {
		unix.Sendto(r.fd, []byte(r.text), 0, r.from) // the firewall may refuse it
	}
}

// burst tries every port once.
func (q *prober) burst() {
	q.mu.Lock()
	defer q.mu.Unlock()
	number := q.first + uint32(len(q.bursts))
	now := burst{first: time.Now()}
	var b [5]byte
	binary.BigEndian.PutUint32(b[:], number)
	for _, i := range [...]byte{variants, 0, 1, 2, variants} { // nobody's port first and last: one policy and none look like no other
		b[4] = i
		unix.Sendto(q.socket, b[:], 0, q.to[i]) // what is refused does not come back
	}
	now.last = time.Now()
	q.bursts, q.back = append(q.bursts, now), append(q.back, 0)
}

// read takes the answers that have come in.
func (q *prober) read(b []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		n, _, err := unix.Recvfrom(q.socket, b, 0)
		if err == unix.EAGAIN {
			return
		}
		if err != nil || n != 5 || b[4] >= ports {
			continue // an ICMP error
		}
		if i := binary.BigEndian.Uint32(b) - q.first; i < uint32(len(q.back)) {
			q.back[i] |= 1 << b[4]
			q.bursts[i].back = time.Now()
		}
	}
}

// judge has every burst judged that is older than that, and returns how long packets were under way.
func (q *prober) judge(than time.Time) (lag time.Duration) {
	q.mu.Lock()
	lag = underWay
	for _, b := range q.bursts {
		lag = max(lag, b.back.Sub(b.last))
	}
	n := 0
	for n < len(q.bursts) && q.bursts[n].last.Before(than) {
		q.bursts[n].state, q.bursts[n].lag = stateOf(q.back[n]), lag
		n++
	}
	ready := q.bursts[:n]
	q.first, q.bursts, q.back = q.first+uint32(n), q.bursts[n:], q.back[n:]
	q.mu.Unlock()
	for _, b := range ready {
		q.seq.add(b)
	}
	return lag
}

// now tells what the last bursts since an instant agree on, as far as can be seen by now.
func (q *prober) now(since time.Time) (state, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	end := len(q.bursts)
	for end > 0 && time.Since(q.bursts[end-1].last) < answerTime {
		end--
	}
	if end < window || q.bursts[end-window].first.Before(since) {
		return 0, false
	}
	s := stateOf(q.back[end-1])
	for _, back := range q.back[end-window : end] {
		if stateOf(back) != s {
			return 0, false
		}
	}
	return s, true
}

// banMe does what a policy may ban the client for.
func (q *prober) banMe() {
	unix.Sendto(q.socket, []byte("touch"), 0, q.touch) // what is refused bans nobody
}
