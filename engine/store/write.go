package store

import (
	"context"
	"time"
)

const (
	batchSize  = 500                    // records that are not made to wait for more
	batchDelay = 250 * time.Millisecond // how long the first of a batch waits otherwise
	batchLimit = 4096                   // records in one transaction

	firstPause, longestPause = 500 * time.Millisecond, 30 * time.Second // after a failure
)

// flush is the wish to have what is queued written now.
type flush chan error

// writer is the one goroutine that writes.
type writer struct {
	*Store
	ctx     context.Context
	pending []record // taken from the queue, and not written yet
	pause   time.Duration
	again   time.Time // not to be tried before
	session *session  // nil until the next attempt
}

// write runs until the Store is closed.
func (s *Store) write() {
	w := &writer{Store: s, ctx: context.Background()}
	defer w.endSession()
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	retry := time.NewTicker(firstPause)
	defer retry.Stop()
	for {
		select {
		case <-s.queue.some:
			w.gather()
			w.attempt()
		case <-retry.C:
			w.attempt()
		case done := <-s.flushes:
			done <- w.all()
		case <-tidy.C:
			w.tidy()
		case <-s.ending:
			w.all()
			return
		}
	}
}

// gather waits until a batch is worth a transaction.
func (w *writer) gather() {
	timer := time.NewTimer(batchDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.queue.many:
	case <-w.ending:
	case done := <-w.flushes:
		done <- w.all()
	}
}

// attempt writes what waits, unless the last attempt failed a moment ago.
func (w *writer) attempt() {
	if time.Now().Before(w.again) || len(w.pending) == 0 && w.queue.length() == 0 {
		return
	}
	w.all()
}

// all writes everything that waits. After an error, what is not written waits for the next attempt.
func (w *writer) all() error {
	if len(w.pending) == 0 {
		w.pending = w.queue.take()
	}
	for len(w.pending) > 0 {
		n := min(len(w.pending), batchLimit)
		if err := w.batch(w.pending[:n]); err != nil {
			w.failed(err)
			return err
		}
		w.succeeded(n)
		if len(w.pending) == 0 {
			w.pending = w.queue.take()
		}
	}
	if w.missed.Swap(false) {
		w.lost()
	}
	return nil
}

func (w *writer) succeeded(n int) {
	for i := range w.pending[:n] {
		if w.pending[i].tally != nil {
			w.tallies.Add(-1)
		}
		w.pending[i] = record{}
	}
	w.pending = w.pending[n:]
	w.counters.written.Add(uint64(n))
	w.pause, w.again = 0, time.Time{}
	if w.counters.failing.Swap(nil) != nil {
		w.cfg.Log.Info("the history is written again")
	}
}

func (w *writer) failed(err error) {
	w.endSession()
	w.counters.failed.Add(1)
	why := err.Error()
	if w.counters.failing.Swap(&why) == nil {
		w.cfg.Log.Error("the history cannot be written: what happens waits in memory, as long as there is room and this process lives", "file", w.path, "error", err)
	}
	w.pause = min(max(firstPause, 2*w.pause), longestPause)
	w.again = time.Now().Add(w.pause)
}

// batch writes records in one transaction, into a new database where the present one is damaged or gone.
func (w *writer) batch(records []record) error {
	err := w.transact(records)
	if isDamage(err) {
		w.endSession()
		if err := w.replace(w.ctx, err); err != nil {
			return err
		}
		err = w.transact(records)
	}
	return err
}

func (w *writer) transact(records []record) error {
	start := time.Now()
	s, err := w.begin()
	if err != nil {
		return err
	}
	for i := range records {
		if err := s.put(w.ctx, &records[i]); err != nil {
			return s.rollback(w.ctx, err)
		}
	}
	if err := s.commit(w.ctx); err != nil {
		return s.rollback(w.ctx, err)
	}
	w.healed(s.odd)
	w.counters.batches.Add(1)
	w.counters.busy.Add(int64(time.Since(start)))
	return nil
}

// begin begins a transaction, in the database that the file is now.
func (w *writer) begin() (*session, error) {
	if d := w.db.Load(); d.readOnly || d.moved(w.path) {
		w.endSession()
		if err := w.reopen(w.ctx); err != nil {
			return nil, err
		}
	}
	if w.session == nil {
		s, err := newSession(w.ctx, w.db.Load())
		if err != nil {
			return nil, err
		}
		w.session = s
	}
	return w.session, w.session.begin(w.ctx)
}

func (w *writer) endSession() {
	if w.session != nil {
		w.session.close()
	}
	w.session = nil
}

// Flush returns when what was recorded before is in the database, or why it is not. The
// database survives the death of any process then; whether it survives a power failure is the disk's to say.
func (s *Store) Flush(ctx context.Context) error {
	done := make(flush, 1)
	select {
	case s.flushes <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
