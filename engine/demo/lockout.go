package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

//go:embed lockout.lua
var lockoutPolicy []byte

// deadline asks the kernel when it will end the trial of a generation. The
// kernel counts in ticks of a few milliseconds, so the least of several answers
// is the nearest to the truth.
func deadline(c *nft.Client, generation uint64) (time.Time, error) {
	var earliest time.Time
	for range 10 {
		left, err := c.Expiries(nft.Table{Family: nft.Inet, Name: ruleset.Table(generation)}, ruleset.Lease)
		if err != nil {
			return earliest, fmt.Errorf("read the lease of generation %d: %w", generation, err)
		}
		end := time.Now().Add(left[nft.KeyIPv4])
		if left[nft.KeyIPv4] == 0 {
			return earliest, fmt.Errorf("generation %d has no lease", generation)
		}
		if earliest.IsZero() || end.Before(earliest) {
			earliest = end
		}
		time.Sleep(time.Millisecond)
	}
	return earliest, nil
}

// firstConnection makes new connections from the administrator's host to ssh,
// one every few milliseconds, until one is answered, and returns when that was.
// Each is given up soon: TCP repeats a lost packet only after a second.
func (s *stage) firstConnection(ctx context.Context) (time.Time, error) {
	const atOnce, patience = 8, 25 * time.Millisecond
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answered := make(chan time.Time, atOnce)
	var dialers sync.WaitGroup
	for i := range atOnce {
		dialers.Go(func() {
			sleep(ctx, time.Duration(i)*patience/atOnce)
			s.admin.Do(func() error {
				for ctx.Err() == nil {
					if c, err := net.DialTimeout("tcp4", net.JoinHostPort(serverToAdmin, sshPort), patience); err == nil {
						answered <- time.Now()
						cancel()
						return c.Close()
					}
				}
				return nil
			})
		})
	}
	dialers.Wait()
	close(answered)
	var first time.Time
	for t := range answered {
		if first.IsZero() || t.Before(first) {
			first = t
		}
	}
	if first.IsZero() {
		return first, errors.New("the administrator could not connect any more")
	}
	return first, nil
}

// reaches reports whether a host can make a connection and get an answer over it.
func reaches(from interface{ Do(func() error) error }, addr, port string) bool {
	return from.Do(func() error { return echo(net.JoinHostPort(addr, port), 300*time.Millisecond) }) == nil
}

// session is a connection that the administrator has open.
type session struct{ net.Conn }

func (s *stage) openSession() (session, error) {
	var c net.Conn
	err := s.admin.Do(func() (err error) {
		c, err = net.DialTimeout("tcp4", net.JoinHostPort(serverToAdmin, sshPort), requestTimeout)
		return err
	})
	if err != nil {
		return session{}, fmt.Errorf("the administrator's ssh session: %w", err)
	}
	if err := echoOver(c, requestTimeout); err != nil {
		return session{}, fmt.Errorf("the administrator's ssh session: %w", errors.Join(err, c.Close()))
	}
	return session{c}, nil
}

// stalls sends a line and reports whether it fails to come back.
func (s session) stalls() bool {
	return echoOver(s, 300*time.Millisecond) != nil
}

// resumes waits until the line that stalled has come back and returns when. How
// soon after the way is free depends on when TCP next repeats it.
func (s session) resumes(limit time.Duration) (time.Time, error) {
	if err := s.SetDeadline(time.Now().Add(limit)); err != nil {
		return time.Time{}, err
	}
	_, err := io.ReadFull(s, make([]byte, len(line)))
	return time.Now(), err
}
