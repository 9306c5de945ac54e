package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// A Filter chooses entries. What is zero does not restrict.
type Filter struct {
	Target netip.Prefix // entries about it, about what it holds, and about what holds it
	Kinds  []Kind
	Policy string // the policy's entry file, or who banned: a detector, a handler, a person
	Since  time.Time
	Until  time.Time // exclusive
	Before int64     // the ID of an entry: only those that come after it, to read on where another query ended
	Limit  int       // at most so many
}

// where is a condition of SQL with its arguments.
type where struct {
	conditions []string
	args       []any
}

func (w *where) and(condition string, args ...any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, args...)
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// about restricts to what overlaps a prefix: its own addresses are next to each other, and those around it are few.
func (w *where) about(p netip.Prefix) {
	first, last := addrBlob(p.Addr()), addrBlob(lastAddr(p))
	args := []any{first, last, len(first)}
	around := make([]string, 0, p.Bits())
	for bits := range p.Bits() {
		outer, _ := p.Addr().Prefix(bits)
		around = append(around, "(?, ?)")
		args = append(args, addrBlob(outer.Addr()), bits)
	}
	condition := "addr BETWEEN ? AND ? AND length(addr) = ?"
	if len(around) > 0 {
		condition = "(" + condition + " OR (addr, bits) IN (VALUES " + strings.Join(around, ", ") + "))"
	}
	w.and("addr IS NOT NULL")
	w.and(condition, args...)
}

func (f Filter) where() where {
	var w where
	if f.Target.IsValid() {
		w.about(f.Target.Masked())
	}
	if len(f.Kinds) > 0 {
		args := make([]any, len(f.Kinds))
		for i, k := range f.Kinds {
			args[i] = string(k)
		}
		w.and("kind IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
	}
	if f.Policy != "" {
		w.and("(policy = ? OR by = ?)", f.Policy, f.Policy)
	}
	if !f.Since.IsZero() {
		w.and("time >= ?", f.Since.UnixMilli())
	}
	if !f.Until.IsZero() {
		w.and("time < ?", f.Until.UnixMilli())
	}
	if f.Before > 0 {
		w.and("(time, id) < (SELECT time, id FROM history WHERE id = ?)", f.Before)
	}
	return w
}

// History returns what happened, the latest first.
func (s *Store) History(ctx context.Context, f Filter) ([]Entry, error) {
	w := f.where()
	query := `SELECT id, time, kind, addr, bits, until, origin, by, why, evidence, policy, generation, digest, uid, pid, command, outcome
		FROM history` + w.String() + ` ORDER BY time DESC, id DESC`
	if f.Limit > 0 {
		query += fmt.Sprintf(" LIMIT %d", f.Limit)
	}
	var out []Entry
	err := s.query(ctx, query, w.args, func(r *sql.Rows) error {
		e, err := scanEntry(r)
		if err == nil {
			out = append(out, e)
		}
		return err
	})
	return out, err
}

func scanEntry(r *sql.Rows) (Entry, error) {
	var e Entry
	var at int64
	var kind string
	var addr []byte
	var bits, until, generation, uid, pid sql.NullInt64
	var origin, by, why, evidence, policy, digest, command, outcome sql.NullString
	err := r.Scan(&e.ID, &at, &kind, &addr, &bits, &until, &origin, &by, &why, &evidence, &policy, &generation, &digest, &uid, &pid, &command, &outcome)
	if err == nil {
		err = checkMillis(at, until.Int64)
	}
	if err != nil {
		return e, err
	}
	e.Time, e.Kind, e.Generation = timeOf(at), Kind(kind), uint64(generation.Int64)
	e.Origin, e.By, e.Why, e.Evidence, e.Policy, e.Digest = origin.String, by.String, why.String, evidence.String, policy.String, digest.String
	e.UID, e.PID, e.Command, e.Outcome = int(uid.Int64), int(pid.Int64), command.String, outcome.String
	if until.Valid {
		e.Until = timeOf(until.Int64)
	}
	e.Target, err = prefixOf(addr, bits.Int64)
	return e, err
}

// query calls row for each row of an answer. Those that it fails for cannot be, as in a file that somebody edited: they are left
// out, and said.
func (s *Store) query(ctx context.Context, query string, args []any, row func(*sql.Rows) error) error {
	rows, err := s.db.Load().QueryContext(ctx, query, args...)
	if err != nil {
		return readError(s.path, err)
	}
	defer rows.Close()
	var odd oddRows
	for rows.Next() {
		if err := row(rows); errors.Is(err, errEnough) {
			break
		} else if err != nil {
			odd.add(err)
		}
	}
	if ctx.Err() != nil {
		return readError(s.path, ctx.Err())
	}
	s.say(odd)
	return readError(s.path, rows.Err())
}

func readError(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case isDamage(err):
		return fmt.Errorf("history: %s is damaged: the daemon sets it aside when it writes to it next, or when it starts: %w", path, err)
	}
	return fmt.Errorf("history: %s: %w", path, err)
}
