package store

import (
	"context"
	"database/sql"
	"fmt"
)

// migrations make the tables; the nth one takes a database from version n to n+1,
// which PRAGMA user_version tells. One that has shipped never changes.
var migrations = [...]migration{{tables: `
CREATE TABLE bans (             -- in force, or ended a short while ago
	family INTEGER NOT NULL,    -- 4 or 6
	bits   INTEGER NOT NULL,
	addr   BLOB    NOT NULL,
	since  INTEGER NOT NULL,
	until  INTEGER,             -- NULL for one without end
	trial  INTEGER NOT NULL,    -- 1 for one that is not to outlive a reboot
	origin TEXT    NOT NULL,
	by     TEXT    NOT NULL,
	why    TEXT    NOT NULL,
	PRIMARY KEY (family, bits, addr)
) WITHOUT ROWID;

CREATE TABLE history (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	time       INTEGER NOT NULL,
	kind       TEXT NOT NULL,
	addr       BLOB,
	bits       INTEGER,
	until      INTEGER,
	origin     TEXT,
	by         TEXT,
	why        TEXT,
	evidence   TEXT,
	policy     TEXT,
	generation INTEGER,
	digest     TEXT,
	uid        INTEGER,
	pid        INTEGER,
	command    TEXT,
	outcome    TEXT
);
CREATE INDEX history_time ON history (time);
CREATE INDEX history_kind ON history (kind, time);
CREATE INDEX history_addr ON history (addr, bits) WHERE addr IS NOT NULL;

CREATE TABLE sources (          -- packet events by source
	span   INTEGER NOT NULL,    -- 60 or 3600 seconds
	start  INTEGER NOT NULL,
	stream TEXT    NOT NULL,
	addr   BLOB    NOT NULL,    -- empty for all that had no row of their own
	events INTEGER NOT NULL,
	last   INTEGER NOT NULL,
	ports  TEXT    NOT NULL,    -- some of those that it tried: 22/tcp,53/udp
	PRIMARY KEY (span, start, stream, addr)
) WITHOUT ROWID;
CREATE INDEX sources_addr ON sources (addr);

CREATE TABLE ports (            -- packet events by destination port
	span   INTEGER NOT NULL,
	start  INTEGER NOT NULL,
	stream TEXT    NOT NULL,
	proto  INTEGER NOT NULL,
	port   INTEGER NOT NULL,    -- 0 for all that had no row of their own, or no port
	events INTEGER NOT NULL,
	PRIMARY KEY (span, start, stream, proto, port)
) WITHOUT ROWID;

CREATE TABLE dropped (          -- packets of banned sources
	span    INTEGER NOT NULL,
	start   INTEGER NOT NULL,
	packets INTEGER NOT NULL,
	PRIMARY KEY (span, start)
) WITHOUT ROWID;

CREATE TABLE packets (          -- the latest packet events: a ring
	id     INTEGER PRIMARY KEY,
	time   INTEGER NOT NULL,
	stream TEXT    NOT NULL,
	rule   TEXT    NOT NULL,
	src    BLOB,
	dst    BLOB,
	proto  INTEGER NOT NULL,
	sport  INTEGER NOT NULL,
	dport  INTEGER NOT NULL
);
CREATE INDEX packets_src ON packets (src);
`}, {tables: `
CREATE TABLE banpages (         -- bans in force, or ended a short while ago: pages of some dozens
	id    INTEGER PRIMARY KEY,
	first BLOB NOT NULL UNIQUE, -- from here on to the next page's first; empty for the first page
	ends  INTEGER,              -- the first of them to end, NULL if none does
	bans  BLOB NOT NULL
);
CREATE INDEX banpages_ends ON banpages (ends) WHERE ends IS NOT NULL;
INSERT INTO banpages (first, bans) VALUES (x'', x'');
`, move: (*session).moveBans}}

// migration is one step: the tables that it makes, and what it moves into them, if anything.
type migration struct {
	tables string
	move   func(*session, context.Context) error
}

// version is that of the database that this package reads and writes.
const version = len(migrations)

// migrate brings a database to the present version, in one transaction for each step. It returns what could not be taken over.
func migrate(ctx context.Context, db *sql.Conn) (odd oddRows, err error) {
	for done := false; !done && err == nil; {
		done, err = migrateOnce(ctx, db, &odd)
	}
	return odd, err
}

// migrateOnce takes one step. It looks again under the lock, since another process may have taken it.
func migrateOnce(ctx context.Context, db *sql.Conn, odd *oddRows) (done bool, err error) {
	if v, err := userVersion(ctx, db); err != nil || v >= version {
		return true, err
	}
	s := &session{conn: db, stmt: map[string]*sql.Stmt{}}
	defer s.closeStatements()
	if err := s.begin(ctx); err != nil {
		return false, err
	}
	done, err = s.migrate(ctx)
	if err == nil {
		err = s.commit(ctx)
	}
	if err != nil {
		return false, s.rollback(ctx, err)
	}
	odd.join(s.odd)
	return done, nil
}

// migrate takes the next step in the transaction.
func (s *session) migrate(ctx context.Context) (done bool, err error) {
	v, err := userVersion(ctx, s.conn)
	if err != nil || v >= version {
		return true, err
	}
	_, err = s.conn.ExecContext(ctx, migrations[v].tables)
	if move := migrations[v].move; err == nil && move != nil {
		err = move(s, ctx)
	}
	if err != nil {
		return false, fmt.Errorf("from version %d to %d: %w", v, v+1, err)
	}
	_, err = s.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", v+1))
	return false, err
}

// queryer is a connection or a transaction.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func userVersion(ctx context.Context, db queryer) (v int, err error) {
	err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v)
	return v, err
}
