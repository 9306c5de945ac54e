package store

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// Bans calls each for the bans in force, IPv4 before IPv6, short prefixes before long
// ones, in the order of their addresses, until it returns false. Those that have ended by now are left out.
func (s *Store) Bans(ctx context.Context, now time.Time, each func(Ban) bool) error {
	var r pageReader
	return s.query(ctx, "SELECT bans FROM banpages ORDER BY first", nil, func(rows *sql.Rows) error {
		var page sql.RawBytes
		if err := rows.Scan(&page); err != nil {
			return err
		}
		r.start(page)
		for b := (Ban{}); r.next(&b); {
			if (b.Until.IsZero() || b.Until.After(now)) && !each(b) {
				return errEnough
			}
		}
		return r.err()
	})
}

// errEnough ends a query of whose rows no more are wanted.
var errEnough = errors.New("enough")

// Missing returns those of the targets of which there is no ban.
func (s *Store) Missing(ctx context.Context, targets []netip.Prefix) ([]netip.Prefix, error) {
	var out []netip.Prefix
	err := s.lookUp(ctx, targets, func(target netip.Prefix, b *Ban) {
		if b == nil {
			out = append(out, target)
		}
	})
	return out, err
}

// lookUp calls each for every target, with its ban or nil, in the order of the bans.
func (s *Store) lookUp(ctx context.Context, targets []netip.Prefix, each func(netip.Prefix, *Ban)) error {
	stmt, err := s.db.Load().PrepareContext(ctx, sqlPage)
	if err != nil {
		return readError(s.path, err)
	}
	defer stmt.Close()
	var odd oddRows
	defer func() { s.say(odd) }()
	p := page{after: []byte{}} // none
	for _, t := range slices.SortedFunc(slices.Values(targets), compareTargets) {
		if !p.holds(t) {
			if p, err = findPage(ctx, stmt, t); errors.Is(err, errBadRow) {
				odd.add(err) // what could be read of it must do
			} else if err != nil {
				return readError(s.path, err)
			}
		}
		i, ok := slices.BinarySearchFunc(p.bans, t, func(b Ban, t netip.Prefix) int { return compareTargets(b.Target, t) })
		if ok {
			each(t, &p.bans[i])
		} else {
			each(t, nil)
		}
	}
	return nil
}

// An Offence is how often a target was banned by policies.
type Offence struct {
	Target netip.Prefix
	Count  int
	Last   time.Time
}

// Offences returns how often each target was banned by policies since then, those banned last first.
func (s *Store) Offences(ctx context.Context, since time.Time, limit int) ([]Offence, error) {
	var out []Offence
	err := s.query(ctx, `SELECT addr, bits, count(*), max(time) AS last FROM history
		WHERE kind = 'ban' AND origin = 'local' AND time >= ? GROUP BY addr, bits ORDER BY last DESC LIMIT ?`,
		[]any{since.UnixMilli(), limit}, func(r *sql.Rows) (err error) {
			var o Offence
			var addr []byte
			var bits, last int64
			if err := r.Scan(&addr, &bits, &o.Count, &last); err != nil {
				return err
			}
			o.Last = timeOf(last)
			if o.Target, err = prefixOf(addr, bits); err == nil {
				err = checkMillis(last)
			}
			if err == nil {
				out = append(out, o)
			}
			return err
		})
	return out, err
}
