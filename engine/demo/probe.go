package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/netns"
)

const (
	probeEvery    = 2 * time.Millisecond
	probePatience = 50 * time.Millisecond // far less than TCP's second until it repeats a lost packet
)

// opening is when a way that was closed opened: after Closed, when the last
// attempt that was not answered began, and before Open, when the one after it had
// been answered. On a busy machine they lie apart. Where every attempt was
// answered, Closed is when the first began: it may have been open for long.
type opening struct{ Closed, Open time.Time }

// attempt is a connection that is being made.
type attempt struct {
	fd    int
	began time.Time
}

// awaitOpening makes new connections from a host, one every few milliseconds,
// until one is answered.
func awaitOpening(ctx context.Context, from *netns.Namespace, addr netip.AddrPort) (o opening, err error) {
	err = from.Do(func() error {
		var tries []attempt
		defer func() {
			for _, a := range tries {
				unix.Close(a.fd)
			}
		}()
		for ctx.Err() == nil {
			a, err := connect(addr)
			if err != nil {
				return err
			}
			tries = append(tries, a)
			time.Sleep(probeEvery)
			for i, a := range tries {
				if _, err := unix.Getpeername(a.fd); err == nil { // it has a peer once it is connected
					o = opening{tries[max(0, i-1)].began, time.Now()}
					return nil
				}
			}
			if len(tries) > 1 && time.Since(tries[0].began) > probePatience {
				unix.Close(tries[0].fd)
				tries = tries[1:]
			}
		}
		return fmt.Errorf("%s is still out of reach: %w", addr, ctx.Err())
	})
	return o, err
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
