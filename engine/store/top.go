package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Dimension is what a Top is of.
type Dimension string

// The dimensions.
const (
	Sources  Dimension = "sources"
	Ports    Dimension = "ports"
	Policies Dimension = "policies" // detectors, handlers, traps and persons, by their bans
)

// Dimensions are all of them.
func Dimensions() []Dimension { return []Dimension{Sources, Ports, Policies} }

// A Total is one line of a Top.
type Total struct {
	Name   string // "203.0.113.9", "2001:db8::/64", "22/tcp", "portscan"
	Events int64  // logged packets; 0 for Policies
	Bans   int64  // 0 for Ports
	Last   time.Time
	Detail string // of a source: some of the ports that it tried
}

// Top returns the n sources or ports with the most logged packets since then, or the n
// policies with the most bans. Of what is older than a day, whole hours count.
func (s *Store) Top(ctx context.Context, of Dimension, since time.Time, n int) ([]Total, error) {
	s.settle(ctx)
	switch of {
	case Sources:
		return s.topSources(ctx, since, n)
	case Ports:
		return s.topPorts(ctx, since, n)
	}
	return s.topPolicies(ctx, since, n)
}

func (s *Store) topSources(ctx context.Context, since time.Time, n int) ([]Total, error) {
	var out []Total
	err := s.query(ctx, `SELECT addr, CAST(total(events) AS INTEGER) AS n, max(last), max(ports),
			(SELECT count(*) FROM history h WHERE h.addr = s.addr AND h.kind = 'ban' AND h.time >= ?)
		FROM sources s WHERE span IN (60, 3600) AND start >= ? AND addr <> x'' GROUP BY addr ORDER BY n DESC, addr LIMIT ?`,
		[]any{since.UnixMilli(), atMinute(since), n}, func(r *sql.Rows) error {
			var t Total
			var addr []byte
			var last int64
			if err := r.Scan(&addr, &t.Events, &last, &t.Detail, &t.Bans); err != nil {
				return err
			}
			a, err := blobAddr(addr)
			if err = errors.Join(err, checkMillis(last)); err != nil {
				return err
			}
			t.Name, t.Last = sourceName(a), timeOf(last)
			out = append(out, t)
			return nil
		})
	return out, err
}

// sourceName is how a source that events are counted by is shown.
func sourceName(a netip.Addr) string {
	if a.Is6() && !a.IsLinkLocalUnicast() {
		return netip.PrefixFrom(a, 64).String()
	}
	return a.String()
}

func (s *Store) topPorts(ctx context.Context, since time.Time, n int) ([]Total, error) {
	var out []Total
	err := s.query(ctx, `SELECT proto, port, CAST(total(events) AS INTEGER) AS n, max(start) FROM ports
		WHERE span IN (60, 3600) AND start >= ? AND port > 0 GROUP BY proto, port ORDER BY n DESC, port LIMIT ?`,
		[]any{atMinute(since), n}, func(r *sql.Rows) error {
			var t Total
			var p port
			var last int64
			if err := r.Scan(&p.proto, &p.number, &t.Events, &last); err != nil {
				return err
			}
			if err := checkMillis(last); err != nil {
				return err
			}
			t.Name, t.Last = p.String(), timeOf(last)
			out = append(out, t)
			return nil
		})
	return out, err
}

func (s *Store) topPolicies(ctx context.Context, since time.Time, n int) ([]Total, error) {
	var out []Total
	err := s.query(ctx, `SELECT coalesce(by, ''), count(*) AS n, max(time) FROM history
		WHERE kind = 'ban' AND time >= ? GROUP BY by ORDER BY n DESC, by LIMIT ?`,
		[]any{since.UnixMilli(), n}, func(r *sql.Rows) error {
			var t Total
			var last int64
			if err := r.Scan(&t.Name, &t.Bans, &last); err != nil {
				return err
			}
			if err := checkMillis(last); err != nil {
				return err
			}
			t.Last = timeOf(last)
			out = append(out, t)
			return nil
		})
	return out, err
}

// atMinute is the beginning of the minute that holds t.
func atMinute(t time.Time) int64 { return t.Truncate(time.Minute).UnixMilli() }

// settle has what was observed up to now counted and written, so that a query finds it. Where that fails, the query finds what there is.
func (s *Store) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	done := make(chan struct{})
	select {
	case s.counting.asked <- done:
		<-done
	case <-ctx.Done():
	case <-s.closing:
	}
	s.Flush(ctx)
}

// A Point is what happened in one stretch of time.
type Point struct {
	Start                                  time.Time
	Events, Dropped, Bans, Unbans, Applies int64
}

// Timeline returns what happened from since to until, in stretches of a length of whole minutes.
// There is a Point for each, also where nothing happened.
func (s *Store) Timeline(ctx context.Context, since, until time.Time, length time.Duration) ([]Point, error) {
	const most = 10_000
	if length < time.Minute || length%time.Minute != 0 || until.Before(since) || until.Sub(since)/length > most {
		return nil, fmt.Errorf("history: a timeline of %s in stretches of %s: want whole minutes, and no more than %d", until.Sub(since), length, most)
	}
	s.settle(ctx)
	first := since.Truncate(length)
	points := make([]Point, until.Sub(first)/length+1)
	for i := range points {
		points[i].Start = first.Add(time.Duration(i) * length).UTC()
	}
	add := func(query string, to func(*Point) *int64) error {
		return s.query(ctx, query, []any{first.UnixMilli(), length.Milliseconds(), first.UnixMilli(), until.UnixMilli()}, func(r *sql.Rows) error {
			var i int
			var n int64
			if err := r.Scan(&i, &n); err != nil {
				return err
			}
			if i >= 0 && i < len(points) {
				*to(&points[i]) += n
			}
			return nil
		})
	}
	for _, q := range []struct {
		of string
		to func(*Point) *int64
	}{
		{"CAST(total(events) AS INTEGER) FROM (SELECT start AS time, events FROM sources WHERE span IN (60, 3600))", func(p *Point) *int64 { return &p.Events }},
		{"CAST(total(packets) AS INTEGER) FROM (SELECT start AS time, packets FROM dropped WHERE span IN (60, 3600))", func(p *Point) *int64 { return &p.Dropped }},
		{"count(*) FROM (SELECT time FROM history WHERE kind = 'ban')", func(p *Point) *int64 { return &p.Bans }},
		{"count(*) FROM (SELECT time FROM history WHERE kind = 'unban')", func(p *Point) *int64 { return &p.Unbans }},
		{"count(*) FROM (SELECT time FROM history WHERE kind = 'apply')", func(p *Point) *int64 { return &p.Applies }},
	} {
		if err := add("SELECT (time - ?) / ? AS i, "+q.of+" WHERE time >= ? AND time < ? GROUP BY i", q.to); err != nil {
			return nil, err
		}
	}
	return points, nil
}
