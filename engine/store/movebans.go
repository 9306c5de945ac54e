package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// movedAtOnce is how many bans are in memory while they are moved.
const movedAtOnce = 1 << 13

// moveBans moves the bans of the table bans, in which each had a row, into pages.
func (s *session) moveBans(ctx context.Context) error {
	rows, err := s.conn.QueryContext(ctx, "SELECT addr, bits, since, until, trial, origin, by, why FROM bans ORDER BY family, bits, addr")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		b, err := scanBan(rows)
		if err != nil {
			s.odd.add(err)
			continue
		}
		s.bans.put(b.Target, banChange{ban: b})
		if len(s.bans.of) < movedAtOnce {
			continue
		}
		if err := s.writeBans(ctx); err != nil {
			return err
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	if err := s.writeBans(ctx); err != nil {
		return err
	}
	_, err = s.conn.ExecContext(ctx, "DROP TABLE bans")
	return err
}

// scanBan makes a ban of a row.
func scanBan(rows *sql.Rows) (b Ban, err error) {
	var addr []byte
	var bits, since int64
	var until *int64
	if err := rows.Scan(&addr, &bits, &since, &until, &b.Trial, &b.Origin, &b.By, &b.Why); err != nil {
		return b, fmt.Errorf("%w: a ban: %w", errBadRow, err)
	}
	b.Since = timeOf(since)
	if until != nil {
		b.Until = timeOf(*until)
		err = checkMillis(*until)
	}
	if err = errors.Join(err, checkMillis(since)); err != nil {
		return b, err
	}
	if b.Target, err = prefixOf(addr, bits); err == nil && !b.Target.IsValid() {
		err = fmt.Errorf("%w: a ban of nothing", errBadRow)
	}
	return b, err
}
