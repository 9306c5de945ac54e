package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"
)

// session is a connection that writes, with its statements prepared.
type session struct {
	conn *sql.Conn
	stmt map[string]*sql.Stmt
	bans banChanges // of the transaction
	odd  oddRows    // that it met with
}

const (
	sqlHistory = `INSERT INTO history (time, kind, addr, bits, until, origin, by, why, evidence, policy, generation, digest, uid, pid, command, outcome)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlSource = `INSERT INTO sources (span, start, stream, addr, events, last, ports) VALUES (60, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET events = events + excluded.events, last = max(last, excluded.last), ports = CASE WHEN length(ports) < 40 THEN excluded.ports ELSE ports END`
	sqlPort = `INSERT INTO ports (span, start, stream, proto, port, events) VALUES (60, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET events = events + excluded.events`
	sqlDropped    = `INSERT INTO dropped (span, start, packets) VALUES (60, ?, ?) ON CONFLICT DO UPDATE SET packets = packets + excluded.packets`
	sqlPacket     = `INSERT INTO packets (time, stream, rule, src, dst, proto, sport, dport) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
	sqlOldPackets = `DELETE FROM packets WHERE id <= (SELECT max(id) FROM packets) - ?`
)

func newSession(ctx context.Context, db *database) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, stmt: map[string]*sql.Stmt{}}, nil
}

func (s *session) close() {
	s.closeStatements()
	s.conn.Close()
}

func (s *session) closeStatements() {
	for _, stmt := range s.stmt {
		stmt.Close()
	}
}

// exec runs a statement that is prepared once.
func (s *session) exec(ctx context.Context, query string, args ...any) error {
	stmt, err := s.prepared(ctx, query)
	if err == nil {
		_, err = stmt.ExecContext(ctx, args...)
	}
	return err
}

func (s *session) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt := s.stmt[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(ctx, query)
	if err == nil {
		s.stmt[query] = stmt
	}
	return stmt, err
}

func (s *session) begin(ctx context.Context) error {
	s.bans.reset()
	s.odd = oddRows{}
	return s.exec(ctx, "BEGIN IMMEDIATE")
}

func (s *session) commit(ctx context.Context) error {
	if err := s.writeBans(ctx); err != nil {
		return err
	}
	return s.exec(ctx, "COMMIT")
}

// rollback ends a transaction that failed. SQLite may have ended it already.
func (s *session) rollback(ctx context.Context, why error) error {
	s.conn.ExecContext(ctx, "ROLLBACK")
	return why
}

// put writes one record.
func (s *session) put(ctx context.Context, r *record) error {
	e := &r.entry
	switch r.change {
	case kept:
		s.bans.put(e.Target, banChange{ban: Ban{Since: e.Time, Until: e.Until, Origin: e.Origin, By: e.By, Why: e.Why, Trial: r.trial}})
		return nil
	case forgot:
		s.bans.put(e.Target, banChange{gone: true})
		return nil
	case forgotAll:
		s.bans.forgetAll()
		return nil
	case counted:
		return s.tally(ctx, r.tally)
	}
	return s.history(ctx, e)
}

func (s *session) history(ctx context.Context, e *Entry) error {
	var addr, bits driver.Value
	if e.Target.IsValid() {
		addr, bits = addrBlob(e.Target.Addr()), e.Target.Bits()
	}
	audit := e.Kind == Audited
	return s.exec(ctx, sqlHistory, e.Time.UnixMilli(), string(e.Kind), addr, bits, millis(e.Until),
		text(e.Origin), text(e.By), text(e.Why), text(e.Evidence), text(e.Policy), number(int64(e.Generation), e.Generation > 0), text(e.Digest),
		number(int64(e.UID), audit), number(int64(e.PID), audit), text(e.Command), text(e.Outcome))
}

// text is NULL for what is empty.
func text(s string) driver.Value {
	if s == "" {
		return nil
	}
	return s
}

func number(n int64, known bool) driver.Value {
	if !known {
		return nil
	}
	return n
}

// reopen opens what is in the file's place now, to be written.
func (s *Store) reopen(ctx context.Context) error {
	old := s.db.Load()
	if err := s.open(ctx, false); err != nil {
		return err
	}
	s.lost()
	return old.Close()
}

// replace sets a database aside in which something turned out to be damaged, unless another process has done so.
func (s *Store) replace(ctx context.Context, why error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	unlock, err := lock(s.cfg.Dir)
	if err != nil {
		return errors.Join(why, err)
	}
	if !s.db.Load().moved(s.path) {
		err = s.setAside(why)
	}
	unlock()
	if err != nil {
		return err
	}
	return s.reopen(ctx)
}
