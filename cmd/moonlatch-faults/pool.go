package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"moonlatch/engine/netns"
)

// poolAddrs are addresses of the client that get banned. IPv6 hosts are banned
// by /64, so each has one of its own, and none shares the client's.
func poolAddrs() []netip.Addr {
	var out []netip.Addr
	for n := range 4 {
		out = append(out, netip.AddrFrom4([4]byte{198, 51, 100, byte(100 + n)}), netip.MustParseAddr(fmt.Sprintf("2001:db8:b%d::9", n)))
	}
	return out
}

// member is an address of the pool: the bans of it that were acknowledged.
type member struct {
	addr  netip.Addr
	conn  *net.UDPConn
	tries uint32 // to get an answer

	banned bool      // a ban was acknowledged, and nothing can have lifted it since
	until  time.Time // it holds at least until then
	record bool      // what is known of it is on disk: a boot knows it, too
	unsure bool      // banned or not: the command was killed, or others took the bans away
	gone   time.Time // whatever ban there was, it is over by then
}

func newMember(client *netns.Namespace, addr netip.Addr) (*member, error) {
	m := &member{addr: addr}
	err := client.Do(func() (err error) {
		m.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		return err
	})
	return m, err
}

// forget says that the ban may or may not be in force any more.
func (m *member) forget() {
	if m.banned {
		m.banned, m.unsure = false, true
	}
}

// doubt says that a ban may be in force again, if its time is not over.
func (m *member) doubt() { m.banned, m.unsure = false, true }

// boot takes note that the kernel has lost the ban, and that what is on record was put back.
func (m *member) boot() {
	if !m.record {
		m.unsure, m.banned = m.unsure || m.banned || time.Now().Before(m.gone), false
	}
}

// free takes note that the ban was lifted, and whether that is on record.
func (m *member) free(record bool) {
	m.banned, m.unsure, m.record = false, false, record
}

// mayBe takes note of a command that bans the member for a time, and whether that is on record, if it is done.
func (m *member) mayBe(r result, lasts time.Duration, record bool) {
	until := r.began.Add(lasts)
	if gone := time.Now().Add(lasts + margin); gone.After(m.gone) {
		m.gone = gone
	}
	switch {
	case r.ok():
		m.banned, m.unsure, m.until, m.record = true, false, until, record
	case !m.banned:
		m.unsure = true
	case until.Before(m.until):
		m.until = until // it may be the new one
	}
}

// passes reports whether packets from the member get an answer.
func (m *member) passes(patience time.Duration) (bool, error) {
	to := server4
	if m.addr.Is6() {
		to = server6
	}
	m.tries++
	ask := binary.BigEndian.AppendUint32(nil, m.tries)
	m.conn.SetReadDeadline(time.Now().Add(patience))
	for port := range ports {
		m.conn.WriteToUDPAddrPort(ask, netip.AddrPortFrom(to, uint16(firstPort+port))) // what is refused is not answered
	}
	for b := make([]byte, 64); ; {
		n, err := m.conn.Read(b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return false, nil
		case err != nil:
			return false, err
		case bytes.Equal(b[:n], ask): // and not to an earlier one
			return true, nil
		}
	}
}

// margin is how far a ban's end is kept from: commands take time.
const margin = 500 * time.Millisecond

// check holds the member's packets against its bans, while a policy is in force
// that lets others in. It returns what is wrong, or "".
func (m *member) check() (string, error) {
	began := time.Now()
	switch {
	case m.banned && began.Before(m.until.Add(-margin)):
		passes, err := m.passes(answerTime)
		if passes && time.Now().Before(m.until) {
			return fmt.Sprintf("%s is banned for another %s, and comes in", m.addr, time.Until(m.until).Round(time.Millisecond)), err
		}
		return "", err
	case (m.banned || m.unsure) && began.Before(m.gone):
		return "", nil
	}
	for time.Since(began) < settleTime {
		if passes, err := m.passes(answerTime); passes || err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s is not banned, or no more, and does not come in", m.addr), nil
}
