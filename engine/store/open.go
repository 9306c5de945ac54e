package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// patience are the pragmas of a connection that looks whose database it is. It changes nothing of somebody else's.
	patience = "?_pragma=busy_timeout(5000)&_txlock=immediate"
	// pragmas are those of every connection after that.
	pragmas = patience + "&_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=cache_size(-1024)&_pragma=temp_store(memory)"
)

// maxConnections is how many queries are answered at once.
const maxConnections = 4

// open opens the file, or begins a new one where it is damaged. Only one process does so at a time. On a
// file system that is read-only it opens the file to be read, if that will do.
func (s *Store) open(ctx context.Context, readWillDo bool) error {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return err
	}
	unlock, err := lock(s.cfg.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	db, err := connect(ctx, s.path)
	if errors.Is(err, unix.EROFS) && readWillDo {
		db, err = connectToRead(ctx, s.path, err)
	} else if s.isHopeless(err) {
		if err = s.setAside(err); err != nil {
			return err
		}
		db, err = connect(ctx, s.path)
	}
	if err != nil {
		return err
	}
	s.db.Store(db)
	s.say(db.odd)
	return nil
}

// isHopeless reports whether no attempt to use the file can succeed.
func (s *Store) isHopeless(err error) bool {
	return isDamage(err) || s.cfg.Daemon && errors.Is(err, ErrNewer)
}

// isDamage reports whether an error says that the file is no sound database.
func isDamage(err error) bool {
	var e *sqlite.Error
	if errors.Is(err, errForeign) || !errors.As(err, &e) {
		return errors.Is(err, errForeign)
	}
	code := e.Code() & 0xff
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}

// errForeign means that the file is a database, but not one of ours.
var errForeign = errors.New("is not a database of moonlatch's")

// lock keeps other processes from opening the database meanwhile.
func lock(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		d.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { d.Close() }, nil
}

// connect opens the file, for its owner only, and brings it to the present version.
func connect(ctx context.Context, path string) (*database, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file: move it away", path)
	}
	odd, err := prepare(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	db, err := openPool(path, pragmas)
	if err != nil {
		return nil, err
	}
	d := &database{DB: db, file: info, odd: odd}
	if err := d.sound(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), d.Close())
	}
	return d, nil
}

// connectToRead opens a file that nobody can write to.
func connectToRead(ctx context.Context, path string, why error) (*database, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, why
	}
	options := patience + "&mode=ro"
	if log, err := os.Stat(path + "-wal"); err != nil || log.Size() == 0 {
		options += "&immutable=1" // or SQLite would make a log
	}
	db, err := openPool(path, options)
	if err != nil {
		return nil, err
	}
	d := &database{DB: db, file: info, readOnly: true}
	v, err := userVersion(ctx, db)
	if err == nil && v != version {
		err = fmt.Errorf("it is of version %d, which cannot become %d: %w", v, version, why)
	}
	if err == nil {
		err = d.sound(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), d.Close())
	}
	return d, nil
}

func openPool(path, pragmas string) (*sql.DB, error) {
	c, err := sqlite.NewConnector("file:" + escape(path) + pragmas)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector{c})
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(1)
	return db, nil
}

// connector keeps SQLite from deleting the write-ahead log when it closes a database: it goes by the
// name, where the log of a new database may be by then.
type connector struct{ driver.Connector }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.(sqlite.FileControl).FileControlPersistWAL("main", 1); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// escape makes a path part of a URI as SQLite reads it.
func escape(path string) string {
	return strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}

// prepare makes sure that the database is one of ours, of this version. It returns what of an older one could not be taken over.
func prepare(ctx context.Context, path string) (odd oddRows, err error) {
	db, err := openPool(path, patience)
	if err != nil {
		return odd, err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return odd, err
	}
	defer conn.Close()
	v, err := userVersion(ctx, conn)
	switch {
	case err != nil:
		return odd, err
	case v < 0:
		return odd, fmt.Errorf("it %w: it says that it is of version %d", errForeign, v)
	case v > version:
		return odd, fmt.Errorf("it %w: %d, and this moonlatch knows %d at most; use the moonlatch that made it, or move %s away to begin anew",
			ErrNewer, v, version, filepath.Base(path))
	case v == 0:
		if err := begin(ctx, conn); err != nil {
			return odd, err
		}
	}
	if odd, err = migrate(ctx, conn); err != nil {
		return odd, fmt.Errorf("migrate: %w", err)
	}
	return odd, nil
}

// begin makes an empty file a database whose pages can be given back, which has to be said before anything is in it.
func begin(ctx context.Context, conn *sql.Conn) error {
	var tables int
	if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	if tables > 0 {
		return errForeign
	}
	_, err := conn.ExecContext(ctx, "PRAGMA auto_vacuum = incremental")
	return err
}

// sound looks at the end of each table: a file that was cut or overwritten shows there, and one whose tables are not ours.
func (d *database) sound(ctx context.Context) error {
	for _, q := range []string{
		"SELECT count(*) FROM (SELECT first, ends, bans FROM banpages ORDER BY id DESC LIMIT 1)",
		"SELECT count(*) FROM (SELECT time, kind, addr, bits, until, origin, by, why, evidence, policy, generation, digest, uid, pid, command, outcome FROM history ORDER BY id DESC LIMIT 1)",
		"SELECT count(*) FROM (SELECT stream, addr, events, last, ports FROM sources ORDER BY span DESC, start DESC LIMIT 1)",
		"SELECT count(*) FROM (SELECT span, start, stream, proto, port, events FROM ports LIMIT 1)",
		"SELECT count(*) FROM (SELECT span, start, packets FROM dropped LIMIT 1)",
		"SELECT count(*) FROM (SELECT time, stream, rule, src, dst, proto, sport, dport FROM packets ORDER BY id DESC LIMIT 1)",
	} {
		var n int
		err := d.QueryRowContext(ctx, q).Scan(&n)
		var e *sqlite.Error
		if errors.As(err, &e) && e.Code() == sqlite3.SQLITE_ERROR { // a table or a column is missing
			return fmt.Errorf("it %w: %w", errForeign, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setAside renames the file, and what belongs to it, so that nothing is lost.
func (s *Store) setAside(why error) error {
	aside := fmt.Sprintf("%s.%s", s.path, time.Now().UTC().Format("20060102T150405.000Z"))
	for _, suffix := range []string{"-wal", "-shm", ""} {
		err := os.Rename(s.path+suffix, aside+suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w, and it cannot be set aside: %w", why, err)
		}
	}
	s.counters.setAside.Add(1)
	s.cfg.Log.Error("the history cannot be used: it is set aside and begins anew", "file", aside, "error", why)
	s.lost()
	return nil
}

func (s *Store) lost() {
	if s.cfg.Lost != nil {
		s.cfg.Lost()
	}
}
