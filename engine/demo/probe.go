package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/netns"
)

const (
	probeEvery    = 2 * time.Millisecond
	probePatience = 900 * time.Millisecond // less than TCP's second until it repeats a lost packet
	probeGrace    = 200 * time.Millisecond // for answers that overtook others on a busy machine
)

// opening is when a way that was closed opened: after Closed, when the last
// attempt that was not answered began, and before Open, when the first answer had
// come. On a busy machine they lie apart. Where every attempt was answered, Closed
// is when the first began: it may have been open for long.
type opening struct{ Closed, Open time.Time }

// attempts are connections that are being made, in the order in which they began.
type attempts []attempt

type attempt struct {
	fd    int
	began time.Time
}

// awaitOpening makes new connections from a host, one every few milliseconds,
// until one is answered.
func awaitOpening(ctx context.Context, from *netns.Namespace, addr netip.AddrPort) (o opening, err error) {
	err = from.Do(func() error {
		var tries attempts
		defer func() { tries.close() }()
		for ctx.Err() == nil {
			a, err := connect(addr)
			if err != nil {
				return err
			}
			tries = append(tries, a)
			time.Sleep(probeEvery)
			if tries.answered() >= 0 {
				o.Open = time.Now()
				time.Sleep(probeGrace)
				o.Closed = tries[max(0, tries.answered()-1)].began
				return nil
			}
			if time.Since(tries[0].began) > probePatience {
				tries[:1].close()
				tries = tries[1:]
			}
		}
		return fmt.Errorf("%s is still out of reach: %w", addr, ctx.Err())
	})
	return o, err
}

// answered is the place of the first attempt that was answered, or -1.
func (list attempts) answered() int {
	return slices.IndexFunc(list, func(a attempt) bool {
		_, err := unix.Getpeername(a.fd) // it has a peer once it is connected
		return err == nil
	})
}

func (list attempts) close() {
	for _, a := range list {
		unix.Close(a.fd)
	}
}

// connect begins to make a connection and does not wait for it.
func connect(addr netip.AddrPort) (attempt, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return attempt{}, fmt.Errorf("socket: %w", err)
	}
	a := attempt{fd, time.Now()}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())})
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return attempt{}, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return a, nil
}
