// Package spool lets log lines wait in memory, so that nobody who logs waits: a
// log whose reader has stopped must not hold up a ban.
package spool

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// limit is how many lines can wait: a second of a busy log.
	limit = 4096
	// patience is how long a Flush waits for a log that takes nothing.
	patience = 2 * time.Second
)

// Spool holds lines until a goroutine of its own has written them, in the order
// in which they came. Where there is no room, the newest are dropped, and the
// next line that is written says how many. It is safe for concurrent use, and
// lasts as long as the process. A nil Spool holds nothing and has dropped nothing.
type Spool struct {
	to    slog.Handler
	lines chan line

	mu      sync.Mutex // held to put a line in, never to write one
	lost    uint64     // lines dropped since the last one that there was room for
	dropped uint64     // lines dropped ever
}

// line is one that waits.
type line struct {
	to      slog.Handler
	record  slog.Record
	lost    uint64        // lines dropped just before it
	written chan struct{} // of a Flush, which waits for this; no line of its own
}

// New returns a Spool that writes by means of a handler. Nobody else should: it may block.
func New(to slog.Handler) *Spool {
	s := &Spool{to: to, lines: make(chan line, limit)}
	go s.run()
	return s
}

// Handler returns a handler whose lines wait in the spool. What a line is made of must not change any more; errors are made text at once.
func (s *Spool) Handler() slog.Handler { return &handler{s, s.to} }

// Dropped is how many lines were dropped, because they could not be written or there was no room.
func (s *Spool) Dropped() uint64 {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// Flush waits until what waits is written, for two seconds at most.
func (s *Spool) Flush() {
	if s == nil {
		return
	}
	deadline := time.After(patience)
	written := make(chan struct{})
	select {
	case s.lines <- line{written: written}:
	case <-deadline:
		return
	}
	select {
	case <-written:
	case <-deadline:
	}
}

// Crash is deferred by a goroutine whose panic ends the process: it writes what
// waits, which would be lost.
func (s *Spool) Crash() {
	if p := recover(); p != nil {
		s.Flush()
		panic(p)
	}
}

func (s *Spool) put(l line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.lost = s.lost
	select {
	case s.lines <- l:
		s.lost = 0
	default:
		s.drop(1)
	}
}

// drop counts lines that were not written. s.mu is held.
func (s *Spool) drop(n uint64) {
	s.lost += n
	s.dropped += n
}

func (s *Spool) run() {
	for l := range s.lines {
		s.tell(l.lost)
		if l.written != nil {
			s.tell(s.unsaid())
			close(l.written)
			continue
		}
		s.write(l.to, l.record)
		if len(s.lines) == 0 {
			s.tell(s.unsaid())
		}
	}
}

// unsaid takes the number of lines that were dropped and not told of.
func (s *Spool) unsaid() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.lost
	s.lost = 0
	return n
}

// tell says how many lines are missing.
func (s *Spool) tell(lost uint64) {
	if lost == 0 {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines are missing: the log could not take them in time", 0)
	r.AddAttrs(slog.Uint64("lines", lost))
	if s.to.Handle(context.Background(), r) != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lost += lost
	}
}

func (s *Spool) write(to slog.Handler, r slog.Record) {
	if to.Handle(context.Background(), r) != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(1)
	}
}
