package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/control"
	"moonlatch/engine/feed"
	"moonlatch/engine/store"
)

const (
	// recordPatience is how long an answer waits for its record.
	recordPatience = 2 * time.Second
	// openPatience is how long it waits at most for the store to be opened: what the last process
	// left to be read may be long, and a busy machine slow.
	openPatience = 10 * time.Second
	// openAgain is how long after a failure the history is opened again.
	openAgain = 30 * time.Second
)

// history is the store on disk, which a firewall works without: what cannot be
// recorded is said and counted. It is opened when it is needed first.
type history struct {
	cfg    store.Config
	log    *slog.Logger
	lost   chan struct{} // holds a token when the store may have missed bans
	mended chan struct{} // holds one when the kernel has missed the bans' reasons

	store atomic.Pointer[store.Store] // nil while there is none

	mu     sync.Mutex
	closed bool
	failed error     // why it could not be opened
	again  time.Time // when that is tried again
	missed uint64    // records that there was no store for

	running func() (policy string, generation uint64) // what a policy's ban is put down to
}

func newHistory(cfg Config, daemon bool) *history {
	h := &history{log: cfg.Log, lost: make(chan struct{}, 1), mended: make(chan struct{}, 1), running: func() (string, uint64) { return "", 0 }}
	h.cfg = store.Config{Dir: cfg.State, Log: cfg.Log, Daemon: daemon, Lost: h.lose}
	return h
}

// lose has the store compared with the kernel.
func (h *history) lose() { signal(h.lost) }

// mend has the bans get their reasons back.
func (h *history) mend() { signal(h.mended) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// open returns the store, or why there is none.
func (h *history) open() (*store.Store, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch s := h.store.Load(); {
	case s != nil:
		return s, nil
	case h.closed || time.Now().Before(h.again):
		return nil, h.failed
	}
	ctx, cancel := context.WithTimeout(context.Background(), openPatience)
	defer cancel()
	s, err := store.Open(ctx, h.cfg)
	if err != nil {
		if h.failed == nil {
			h.log.Error("nothing of what happens is recorded, and bans do not outlast a reboot", "error", err)
		}
		h.failed, h.again = err, time.Now().Add(openAgain)
		return nil, err
	}
	if h.failed != nil || h.missed > 0 {
		h.lose()
	}
	h.store.Store(s)
	h.failed = nil
	return s, nil
}

// write calls do with the store, if there is one.
func (h *history) write(do func(*store.Store)) {
	s, err := h.open()
	if err != nil || s == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.missed++
		return
	}
	do(s)
}

func (h *history) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed, h.failed = true, errors.New("the history is closed")
	if s := h.store.Swap(nil); s != nil {
		return s.Close()
	}
	return nil
}

// observe counts a packet, if there is a store. It is for the packet path.
func (h *history) observe(e *store.Event) {
	if h == nil {
		return
	}
	if s := h.store.Load(); s != nil {
		s.Observe(e)
	}
}

// note records what is told.
func (h *history) note(it feed.Item) {
	if h == nil {
		return // a rehearsal leaves no trace
	}
	e, ok := entryOf(it)
	if !ok {
		return
	}
	h.write(func(s *store.Store) {
		if it.Ban != nil && e.Origin == string(ban.Local) {
			e.Policy, e.Generation = h.running()
		}
		s.Record(e)
	})
}

// maxText bounds what is kept of a text that has no bound of its own.
const maxText = 2048

// entryOf is an item as history has it. Packets are counted instead, and when a ban ends by itself its entry tells.
func entryOf(it feed.Item) (store.Entry, bool) {
	e := store.Entry{Time: it.Time, Kind: store.Kind(it.Kind)}
	switch {
	case it.Ban != nil:
		b := it.Ban
		e.Target, e.Until, e.By, e.Why, e.Origin, e.Evidence = b.Target.Prefix, b.Until, b.By, b.Why, b.Origin, shorten(b.Evidence)
		switch {
		case it.Kind == feed.KindUnban:
			e.Why = b.Reason
		case b.Reason != "":
			e.Outcome = shorten(b.Reason)
		}
		if b.Count > 0 {
			e.Evidence = fmt.Sprintf("%d bans", b.Count)
		}
		return e, it.Kind != feed.KindUnban || b.Reason != ban.UnbannedExpired
	case it.Generation != nil:
		g := it.Generation
		e.Generation, e.Policy, e.Digest, e.By, e.Until, e.Why = g.Number, g.Policy, g.Digest, g.By, g.Until, g.Why
	case it.Drift != nil:
		e.Why, e.By, e.PID, e.Outcome = shorten(it.Drift.What), it.Drift.Process, it.Drift.PID, it.Drift.Done
	case it.Lease != nil:
		e.Generation, e.Outcome, e.Why, e.Evidence = it.Lease.Generation, it.Lease.State, it.Lease.Why, shorten(it.Lease.Traceback)
	case it.Fault != nil:
		e.By, e.Why, e.Outcome, e.Evidence = it.Fault.Callback, shorten(it.Fault.Message), it.Fault.Reason, shorten(it.Fault.Traceback)
	case it.Notice != nil:
		e.By, e.Why, e.Evidence = it.Notice.By, it.Notice.Title, shorten(it.Notice.Text)
	default:
		return e, false
	}
	return e, true
}

func shorten(s string) string { return s[:min(len(s), maxText)] }

// changed records which bans are in force.
func (h *history) changed(c ban.Change) {
	h.write(func(s *store.Store) {
		if c.All {
			s.ForgetAll()
		}
		for _, t := range c.Lifted {
			s.Forget(t)
		}
		for _, b := range c.Made {
			s.Keep(store.Ban{Target: b.Target, Since: b.Since, Until: b.Until, Origin: string(b.Origin), By: b.By, Why: b.Why, Trial: b.Trial})
		}
	})
}

// Audited implements control.Auditor: it records who asked for what, and returns when that,
// and what came of it, is on disk, if that is possible soon.
func (f *Firewall) Audited(c control.Call) {
	e := store.Entry{Kind: store.Audited, UID: c.UID, PID: c.PID, Command: shorten(c.Command), Outcome: "ok"}
	if c.Err != nil {
		e.Outcome = shorten(c.Err.Error())
	}
	f.history.write(func(s *store.Store) {
		s.Record(e)
		ctx, cancel := context.WithTimeout(context.Background(), recordPatience)
		defer cancel()
		_ = s.Flush(ctx) // the store says it, and tries again
	})
}

// HistoryStats is what became of what was to be recorded.
type HistoryStats struct {
	store.Stats
	Open bool // whether there is a store
}

// stats is for metrics. Records that there was no store for count as dropped.
func (h *history) stats() HistoryStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out HistoryStats
	if s := h.store.Load(); s != nil {
		out.Stats, out.Open = s.Stats(), true
	} else if h.failed != nil {
		out.Failing = h.failed.Error()
	}
	out.Dropped += h.missed
	return out
}
