package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// File is the database's name in the state directory.
const File = "history.db"

// What is kept if a Config does not say.
const (
	DefaultKeep    = 90 * 24 * time.Hour
	DefaultMaxSize = 512 << 20
)

// ErrNewer means that the database is of a newer version than this package knows.
var ErrNewer = errors.New("is of a newer version")

// Config says what Open opens.
type Config struct {
	Dir string // the state directory
	Log *slog.Logger

	// Daemon is set by the one process that stays: it tidies up, and sets a database of a newer version aside.
	Daemon bool
	// Lost is called, from a goroutine of the Store, when the database may have missed bans: it was
	// begun anew, or some were dropped. May be nil.
	Lost func()

	Keep    time.Duration // how long what happened is kept; 0 is DefaultKeep
	MaxSize int64         // how many bytes the database may have; 0 is DefaultMaxSize. Bans in force are kept beyond it
}

// A Store is an open database. It is safe for concurrent use.
type Store struct {
	cfg      Config
	path     string
	db       atomic.Pointer[database]
	queue    queue
	counting counting
	counters counters

	tallies atomic.Int64 // that wait to be written
	missed  atomic.Bool  // records were dropped since Config.Lost was called
	odd     atomic.Int64 // the most rows of one answer that were left out, as was said

	flushes chan flush
	closing chan struct{} // closed to end the counting
	ending  chan struct{} // closed to end the writing
	end     sync.Once
	counts  sync.WaitGroup
	writes  sync.WaitGroup
}

// Open opens the database, and makes it where there is none. A damaged one is set aside. One on
// a file system that is read-only can be read.
// Errors are ErrNewer, fs.ErrPermission, and what the disk says.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Keep == 0 {
		cfg.Keep = DefaultKeep
	}
	if cfg.MaxSize == 0 {
		cfg.MaxSize = DefaultMaxSize
	}
	s := &Store{cfg: cfg, path: filepath.Join(cfg.Dir, File), flushes: make(chan flush), closing: make(chan struct{}), ending: make(chan struct{})}
	s.queue.init()
	s.counting.init()
	if err := s.open(ctx, true); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	s.counts.Go(s.count)
	s.writes.Go(s.write)
	return s, nil
}

// Close writes what is queued and closes the database. What cannot be written within some seconds is lost.
func (s *Store) Close() error {
	var err error
	s.end.Do(func() {
		close(s.closing)
		s.counts.Wait()
		close(s.ending)
		s.writes.Wait()
		err = s.db.Load().Close()
	})
	return err
}

// Exists reports whether there is a database in the state directory.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, File))
	return !errors.Is(err, os.ErrNotExist)
}

// database is one file, open.
type database struct {
	*sql.DB
	file os.FileInfo // what it was when it was opened
	odd  oddRows     // of an older version, that were not taken over

	readOnly bool // as its file system was
}

// moved reports whether another process has set the file aside.
func (d *database) moved(path string) bool {
	now, err := os.Stat(path)
	return err != nil || !os.SameFile(now, d.file)
}
