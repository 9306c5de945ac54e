package demo

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"moonlatch/engine/netns"
	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

//go:embed lockout.lua
var lockoutPolicy []byte

// deadline asks the kernel when it will end the trial. The kernel counts in ticks
// of a few milliseconds, so the least of several answers is the nearest to the truth.
func deadline(c *nft.Client) (time.Time, error) {
	table, err := trialTable(c)
	var earliest time.Time
	for range 10 {
		if err != nil {
			return earliest, fmt.Errorf("read the lease of the trial: %w", err)
		}
		var left map[nft.Key]time.Duration
		left, err = c.Expiries(table, ruleset.Lease)
		end := time.Now().Add(left[nft.KeyIPv4])
		if err == nil && left[nft.KeyIPv4] == 0 {
			err = errors.New("it is over already")
		}
		if earliest.IsZero() || end.Before(earliest) {
			earliest = end
		}
		time.Sleep(time.Millisecond)
	}
	return earliest, err
}

// trialTable finds the table of the generation on trial: the one with a lease.
func trialTable(c *nft.Client) (nft.Table, error) {
	tables, err := c.Tables()
	if err != nil {
		return nft.Table{}, err
	}
	for _, t := range tables {
		left, err := c.Expiries(t, ruleset.Lease)
		if err == nil && len(left) > 0 {
			return t, nil
		}
		if err != nil && !errors.Is(err, nft.ErrNotExist) {
			return nft.Table{}, err
		}
	}
	return nft.Table{}, errors.New("no generation is on trial")
}

// reaches reports whether a host can make a connection and get an answer over it.
func reaches(from *netns.Namespace, addr, port string) bool {
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

// resumes waits until the line that stalled has come back and returns when, or
// the zero time if it has not before the limit. How soon it comes back depends on
// when TCP next repeats it.
func (s session) resumes(limit time.Time) time.Time {
	if s.SetDeadline(limit) != nil {
		return time.Time{}
	}
	if _, err := io.ReadFull(s, make([]byte, len(line))); err != nil {
		return time.Time{}
	}
	return time.Now()
}
