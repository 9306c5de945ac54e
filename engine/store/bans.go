package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"
)

// Bans calls each for the bans in force of one family, 4 or 6, whose prefixes have so many
// bits, in the order of their addresses, until it returns false. Those that have ended by now
// are left out. A negative number of bits is every number.
func (s *Store) Bans(ctx context.Context, family, bits int, now time.Time, each func(Ban) bool) error {
	w := where{}
	w.and("family = ?", family)
	if bits >= 0 {
		w.and("bits = ?", bits)
	}
	w.and("(until IS NULL OR until > ?)", now.UnixMilli())
	rows, err := s.db.Load().QueryContext(ctx, "SELECT addr, bits, since, until, trial, origin, by, why FROM bans"+w.String()+" ORDER BY family, bits, addr", w.args...)
	if err != nil {
		return readError(s.path, err)
	}
	defer rows.Close()
	for rows.Next() {
		b, err := scanBan(rows)
		if err != nil {
			return readError(s.path, err)
		}
		if !each(b) {
			return nil
		}
	}
	return readError(s.path, rows.Err())
}

func scanBan(r *sql.Rows) (b Ban, err error) {
	var addr sql.RawBytes
	var bits, since int64
	var until sql.NullInt64
	if err := r.Scan(&addr, &bits, &since, &until, &b.Trial, &b.Origin, &b.By, &b.Why); err != nil {
		return b, err
	}
	b.Since = timeOf(since)
	if until.Valid {
		b.Until = timeOf(until.Int64)
	}
	if b.Target, err = prefixOf(addr, bits); err == nil && !b.Target.IsValid() {
		err = fmt.Errorf("%w: a ban of nobody", errBadRow)
	}
	return b, err
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
			o.Target, err = prefixOf(addr, bits)
			out = append(out, o)
			return err
		})
	return out, err
}
