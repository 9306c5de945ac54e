package store

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"time"
)

// Known is all that is known of an address.
type Known struct {
	Ban     *Ban    // in force, nil if there is none: the one that lasts longest
	Entries []Entry // the latest first: bans and unbans that cover it
	Packets []Event // the latest first, of those that are kept one by one

	Events      int64 // packets of it, of IPv6 of its /64, that were logged
	First, Last time.Time
	Ports       string // some of those that it tried
}

// maxAbout is how many entries, and how many packets, About returns.
const maxAbout = 100

// About returns what is known of an address.
func (s *Store) About(ctx context.Context, addr netip.Addr) (Known, error) {
	s.settle(ctx)
	var k Known
	addr = addr.Unmap().WithZone("")
	host := netip.PrefixFrom(addr, addr.BitLen())
	var err error
	if k.Entries, err = s.History(ctx, Filter{Target: host, Limit: maxAbout}); err != nil {
		return k, err
	}
	if k.Ban, err = s.banOf(ctx, host); err != nil {
		return k, err
	}
	if err := s.countsOf(ctx, addr, &k); err != nil {
		return k, err
	}
	k.Packets, err = s.packetsOf(ctx, addr)
	return k, err
}

// banOf returns the ban of an address that lasts longest.
func (s *Store) banOf(ctx context.Context, host netip.Prefix) (found *Ban, err error) {
	now := time.Now()
	err = s.lookUp(ctx, covering(host), func(_ netip.Prefix, b *Ban) {
		switch {
		case b == nil, !b.Until.IsZero() && !b.Until.After(now):
		case found == nil, !found.Until.IsZero() && (b.Until.IsZero() || b.Until.After(found.Until)):
			found = b
		}
	})
	return found, err
}

// covering is every prefix that holds an address.
func covering(host netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for bits := range host.Bits() + 1 {
		p, _ := host.Addr().Prefix(bits)
		out = append(out, p)
	}
	return out
}

func (s *Store) countsOf(ctx context.Context, addr netip.Addr, k *Known) error {
	return s.query(ctx, `SELECT CAST(total(events) AS INTEGER), min(start), max(last), max(ports) FROM sources WHERE addr = ? HAVING total(events) > 0`,
		[]any{addrBlob(sourceOf(addr))}, func(r *sql.Rows) error {
			var events, first, last int64
			var ports string
			if err := errors.Join(r.Scan(&events, &first, &last, &ports), checkMillis(first, last)); err != nil {
				return err
			}
			k.Events, k.First, k.Last, k.Ports = events, timeOf(first), timeOf(last), ports
			return nil
		})
}

func (s *Store) packetsOf(ctx context.Context, addr netip.Addr) ([]Event, error) {
	var out []Event
	err := s.query(ctx, `SELECT time, stream, rule, src, dst, proto, sport, dport FROM packets WHERE src = ? ORDER BY id DESC LIMIT ?`,
		[]any{addrBlob(addr), maxAbout}, func(r *sql.Rows) error {
			e, err := scanEvent(r)
			if err == nil {
				out = append(out, e)
			}
			return err
		})
	return out, err
}

func scanEvent(r *sql.Rows) (e Event, err error) {
	var at int64
	var src, dst []byte
	if err := r.Scan(&at, &e.Stream, &e.Rule, &src, &dst, &e.Proto, &e.Sport, &e.Dport); err != nil {
		return e, err
	}
	if err := checkMillis(at); err != nil {
		return e, err
	}
	e.Time = timeOf(at)
	if e.Src, err = blobAddr(src); err != nil {
		return e, err
	}
	e.Dst, err = blobAddr(dst)
	return e, err
}
