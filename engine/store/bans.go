package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Bans calls each for the bans in force, IPv4 before IPv6, short prefixes before long
// ones, in the order of their addresses, until it returns false. Those that have ended by now are left out.
//
// It reads a million in a second, and so past database/sql, which makes three of it.
func (s *Store) Bans(ctx context.Context, now time.Time, each func(Ban) bool) error {
	conn, err := s.db.Load().Conn(ctx)
	if err != nil {
		return readError(s.path, err)
	}
	defer conn.Close()
	return readError(s.path, conn.Raw(func(c any) error {
		rows, err := c.(driver.QueryerContext).QueryContext(ctx, `SELECT addr, bits, since, until, trial, origin, by, why FROM bans
			WHERE until IS NULL OR until > ? ORDER BY family, bits, addr`, []driver.NamedValue{{Ordinal: 1, Value: now.UnixMilli()}})
		if err != nil {
			return err
		}
		defer rows.Close()
		return eachBan(rows, each)
	}))
}

func eachBan(rows driver.Rows, each func(Ban) bool) error {
	row := make([]driver.Value, len(rows.Columns()))
	var same words
	for {
		switch err := rows.Next(row); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		b, err := banOf(row, &same)
		if err != nil {
			return err
		}
		if !each(b) {
			return nil
		}
	}
}

// words are those of the last row, for rows with the same to share them.
type words struct{ origin, by, why string }

// share returns s, or known if that is the same.
func share(known *string, s string) string {
	if *known != s {
		*known = s
	}
	return *known
}

// banOf makes a ban of a row: addr, bits, since, until, trial, origin, by, why.
func banOf(row []driver.Value, same *words) (b Ban, err error) {
	addr, ok1 := row[0].([]byte)
	bits, ok2 := row[1].(int64)
	since, ok3 := row[2].(int64)
	until, ended := row[3].(int64)
	trial, ok4 := row[4].(int64)
	origin, ok5 := row[5].(string)
	by, ok6 := row[6].(string)
	why, ok7 := row[7].(string)
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7) || !ended && row[3] != nil || len(addr) == 0 {
		return b, fmt.Errorf("%w: the ban %v", errBadRow, row)
	}
	b = Ban{Since: timeOf(since), Trial: trial != 0, Origin: share(&same.origin, origin), By: share(&same.by, by), Why: share(&same.why, why)}
	if ended {
		b.Until = timeOf(until)
	}
	b.Target, err = prefixOf(addr, bits)
	return b, err
}

// Missing returns those of the targets of which there is no ban.
func (s *Store) Missing(ctx context.Context, targets []netip.Prefix) ([]netip.Prefix, error) {
	stmt, err := s.db.Load().PrepareContext(ctx, "SELECT 1 FROM bans WHERE family = ? AND bits = ? AND addr = ?")
	if err != nil {
		return nil, readError(s.path, err)
	}
	defer stmt.Close()
	var out []netip.Prefix
	for _, t := range targets {
		var one int
		err := stmt.QueryRowContext(ctx, family(t), t.Bits(), addrBlob(t.Addr())).Scan(&one)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			out = append(out, t)
		case err != nil:
			return nil, readError(s.path, err)
		}
	}
	return out, nil
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
