package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	tidyEvery   = time.Minute
	keepMinutes = 25 * time.Hour // then they become hours
	keepEnded   = 24 * time.Hour // bans that have ended: the clock may be wrong
	hourRows    = 1000           // sources, and as many ports, that each hour keeps
	tidyRows    = 5000           // forgotten in one transaction, so that nobody waits for long
	tidyPages   = 50             // of bans, likewise
)

// tidy forgets what is old, and the oldest of what is too much.
func (w *writer) tidy() {
	if !w.cfg.Daemon || w.counters.failing.Load() != nil {
		return
	}
	if err := w.tidyAt(time.Now()); err != nil {
		w.endSession()
		w.cfg.Log.Error("the history cannot be tidied up", "file", w.path, "error", err)
	}
}

func (w *writer) tidyAt(now time.Time) error {
	if err := w.rollUp(now.Add(-keepMinutes).Truncate(time.Hour)); err != nil {
		return err
	}
	if err := w.forgetEnded(now.Add(-keepEnded)); err != nil {
		return err
	}
	old := now.Add(-w.cfg.Keep).UnixMilli()
	for _, what := range []string{
		fmt.Sprintf("history WHERE id IN (SELECT id FROM history WHERE time < %d ORDER BY time LIMIT %d)", old, tidyRows),
		fmt.Sprintf("sources WHERE (span, start, stream, addr) IN (SELECT span, start, stream, addr FROM sources WHERE span = 3600 AND start < %d LIMIT %d)", old, tidyRows),
		fmt.Sprintf("ports WHERE (span, start, stream, proto, port) IN (SELECT span, start, stream, proto, port FROM ports WHERE span = 3600 AND start < %d LIMIT %d)", old, tidyRows),
		fmt.Sprintf("dropped WHERE span = 3600 AND start < %d", old),
	} {
		if err := w.forget(what); err != nil {
			return err
		}
	}
	return w.shrink()
}

// forget deletes, some rows at a time, until there are none left.
func (w *writer) forget(what string) error {
	for {
		n, err := w.alter("DELETE FROM " + what)
		if err != nil || n < tidyRows {
			return err
		}
	}
}

// forgetEnded forgets the bans that have ended before then, some pages at a time.
func (w *writer) forgetEnded(then time.Time) error {
	for more := true; more; {
		err := w.within(func(s *session) (err error) {
			more, err = s.forgetEnded(w.ctx, then)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetEnded reports whether there may be more.
func (s *session) forgetEnded(ctx context.Context, then time.Time) (more bool, err error) {
	rows, err := s.conn.QueryContext(ctx, sqlPagesEnded, then.UnixMilli(), tidyPages)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	n := 0
	var r pageReader
	var bad []int64
	for ; rows.Next(); n++ {
		var id int64
		var page sql.RawBytes
		if err := rows.Scan(&id, &page); err != nil {
			return false, err
		}
		r.start(page)
		for b := (Ban{}); r.next(&b); {
			if !b.Until.IsZero() && b.Until.Before(then) {
				s.bans.put(b.Target, banChange{gone: true})
			}
		}
		if r.err() != nil {
			bad = append(bad, id)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return false, err
	}
	for _, id := range bad { // not to be met again before it is written anew
		if err := s.exec(ctx, sqlPageEndless, id); err != nil {
			return false, err
		}
	}
	return n == tidyPages && len(s.bans.of) > 0, nil
}

// alter runs one statement in a transaction of its own, and returns how many rows it changed.
func (w *writer) alter(query string, args ...any) (n int64, err error) {
	err = w.within(func(s *session) error {
		r, err := s.conn.ExecContext(w.ctx, query, args...)
		if err == nil {
			n, err = r.RowsAffected()
		}
		return err
	})
	return n, err
}

// within does something in a transaction.
func (w *writer) within(do func(*session) error) error {
	s, err := w.begin()
	if err != nil {
		return err
	}
	if err := do(s); err != nil {
		return s.rollback(w.ctx, err)
	}
	if err := s.commit(w.ctx); err != nil {
		return s.rollback(w.ctx, err)
	}
	w.healed(s.odd)
	return nil
}

// rollUp makes hours of the minutes before an hour, one hour after another. Only the busiest of each keep a row of their own.
func (w *writer) rollUp(before time.Time) error {
	for {
		var oldest *int64
		err := w.db.Load().QueryRowContext(w.ctx, `SELECT CAST(min(start) AS INTEGER) FROM (
			SELECT min(start) AS start FROM sources WHERE span = 60 AND start >= 0 AND start < ?1 UNION ALL
			SELECT min(start) FROM ports WHERE span = 60 AND start >= 0 AND start < ?1 UNION ALL
			SELECT min(start) FROM dropped WHERE span = 60 AND start >= 0 AND start < ?1)`, before.UnixMilli()).Scan(&oldest)
		if err != nil || oldest == nil {
			return err
		}
		hour := time.UnixMilli(*oldest).Truncate(time.Hour).UnixMilli()
		if err := w.within(func(s *session) error { return s.rollUp(w.ctx, hour) }); err != nil {
			return err
		}
	}
}

func (s *session) rollUp(ctx context.Context, hour int64) error {
	const end = int64(time.Hour / time.Millisecond)
	for _, query := range []string{
		`INSERT INTO sources (span, start, stream, addr, events, last, ports)
			SELECT 3600, ?1, stream, CASE WHEN place <= ?3 THEN addr ELSE x'' END AS a, CAST(total(n) AS INTEGER), max(l), CASE WHEN place <= ?3 THEN max(p) ELSE '' END FROM (
				SELECT stream, addr, total(events) AS n, max(last) AS l, max(ports) AS p, row_number() OVER (ORDER BY total(events) DESC) AS place
				FROM sources WHERE span = 60 AND start >= ?1 AND start < ?1 + ?2 GROUP BY stream, addr)
			GROUP BY stream, a
			ON CONFLICT DO UPDATE SET events = events + excluded.events, last = max(last, excluded.last)`,
		`INSERT INTO ports (span, start, stream, proto, port, events)
			SELECT 3600, ?1, stream, CASE WHEN place <= ?3 THEN proto ELSE 0 END AS a, CASE WHEN place <= ?3 THEN port ELSE 0 END AS b, CAST(total(n) AS INTEGER) FROM (
				SELECT stream, proto, port, total(events) AS n, row_number() OVER (ORDER BY total(events) DESC) AS place
				FROM ports WHERE span = 60 AND start >= ?1 AND start < ?1 + ?2 GROUP BY stream, proto, port)
			GROUP BY stream, a, b
			ON CONFLICT DO UPDATE SET events = events + excluded.events`,
		`INSERT INTO dropped (span, start, packets)
			SELECT 3600, ?1, CAST(total(packets) AS INTEGER) FROM dropped WHERE span = 60 AND start >= ?1 AND start < ?1 + ?2 AND ?3 > 0 HAVING total(packets) > 0
			ON CONFLICT DO UPDATE SET packets = packets + excluded.packets`,
	} {
		if _, err := s.conn.ExecContext(ctx, query, hour, end, hourRows); err != nil {
			return err
		}
	}
	for _, table := range []string{"sources", "ports", "dropped"} {
		if _, err := s.conn.ExecContext(ctx, "DELETE FROM "+table+" WHERE span = 60 AND start >= ? AND start < ?", hour, hour+end); err != nil {
			return err
		}
	}
	return nil
}

// shrink forgets the oldest of what there is most of, until the file is small enough, and gives the room back.
// Bans in force are not history: they stay.
func (w *writer) shrink() error {
	for {
		used, err := w.used()
		if err != nil {
			return err
		}
		if used <= w.cfg.MaxSize {
			break
		}
		gone := int64(0)
		for _, what := range []string{
			"sources WHERE (span, start, stream, addr) IN (SELECT span, start, stream, addr FROM sources ORDER BY start LIMIT %d)",
			"ports WHERE (span, start, stream, proto, port) IN (SELECT span, start, stream, proto, port FROM ports ORDER BY start LIMIT %d)",
			"history WHERE id IN (SELECT id FROM history ORDER BY time LIMIT %d)",
		} {
			n, err := w.alter("DELETE FROM " + fmt.Sprintf(what, tidyRows))
			if err != nil {
				return err
			}
			gone += n
		}
		if gone == 0 {
			break
		}
	}
	return w.vacuum()
}

// used is how many bytes hold something.
func (w *writer) used() (bytes int64, err error) {
	var pages, free, size int64
	err = w.db.Load().QueryRowContext(w.ctx, "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size").Scan(&pages, &free, &size)
	return (pages - free) * size, err
}

// vacuum gives pages that hold nothing back to the disk.
func (w *writer) vacuum() error {
	conn, err := w.db.Load().Conn(w.ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	rows, err := conn.QueryContext(w.ctx, "PRAGMA incremental_vacuum(4096)")
	if err != nil {
		return err
	}
	for rows.Next() { // each step frees a page
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return rows.Close()
}
