package sandbox

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"time"
)

const (
	clockEvery = 256     // instructions between two looks at the clock
	heapEvery  = 1 << 16 // instructions between two looks at the heap, over all calls
)

// meter counts what a policy spends and stops it at its limits. It is the
// context of the Lua state: the machine calls Done before every instruction, so
// counting there needs no timer, no goroutine and no allocation. Nothing in Lua
// can outlive it: once it has fired it fires at every further instruction.
type meter struct {
	allowance       // of the running call
	unseen    int64 // spent since the last look at the heap

	now       func() time.Time
	where     func() (string, int)
	heapLimit uint64
	heap      []metrics.Sample
	fired     chan struct{}
}

// allowance is what one call may spend.
type allowance struct {
	left int64 // what it may still spend
	mark int64 // Done looks closer when left falls to this
	seen int64 // left at the last closer look

	budget   int64
	patience time.Duration
	deadline time.Time // zero until the first look at the clock
	err      error     // why the call was stopped
	file     string    // and where
	line     int
}

func newMeter(cfg Config, where func() (string, int)) *meter {
	m := &meter{now: cfg.Now, where: where, heapLimit: cfg.HeapLimit, fired: make(chan struct{})}
	m.heap = []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	close(m.fired)
	return m
}

// arm starts a call.
func (m *meter) arm(budget int64, patience time.Duration) {
	m.change(allowance{left: budget, seen: budget, budget: budget, patience: patience})
}

// change makes another call the running one.
func (m *meter) change(to allowance) {
	m.unseen += m.seen - m.left
	m.allowance = to
	m.setMark()
}

// suspend puts the running call aside; resume makes it the running one again,
// with what it had left of its budget and of its time.
func (m *meter) suspend() (resume func()) {
	m.unseen += m.seen - m.left
	m.seen = m.left
	aside, since := m.allowance, m.now()
	return func() {
		if !aside.deadline.IsZero() {
			aside.deadline = aside.deadline.Add(m.now().Sub(since))
		}
		m.change(aside)
	}
}

func (m *meter) setMark() {
	m.mark = max(m.left-clockEvery, -1)
	if m.unseen >= heapEvery {
		m.mark = m.left // look at once
	}
}

// Done counts one instruction.
func (m *meter) Done() <-chan struct{} {
	m.left--
	if m.left > m.mark || m.look() == nil {
		return nil // never ready: the machine goes on
	}
	return m.fired
}

// charge counts work that a library function does on behalf of the policy.
func (m *meter) charge(n int) error {
	m.left -= int64(n)
	if m.left > m.mark {
		return nil
	}
	return m.look()
}

// look compares what was spent with every limit.
func (m *meter) look() error {
	if m.err != nil {
		return m.err
	}
	m.unseen += m.seen - m.left
	m.seen = m.left
	switch {
	case m.left < 0:
		m.err = fmt.Errorf("%w: %d instructions (an endless loop?)", ErrBudget, m.budget)
	case m.late():
		m.err = fmt.Errorf("%w: longer than %v", ErrDeadline, m.patience)
	case m.bloated():
		m.err = fmt.Errorf("%w: the heap grew beyond %d MiB", ErrMemory, m.heapLimit>>20)
	}
	if m.err != nil {
		m.file, m.line = m.where()
	}
	m.setMark()
	return m.err
}

// late starts the clock at the first look, so that a short call never reads it.
func (m *meter) late() bool {
	now := m.now()
	if m.deadline.IsZero() {
		m.deadline = now.Add(m.patience)
	}
	return now.After(m.deadline)
}

// bloated collects the garbage before it blames the policy: what is left of
// earlier calls may fill the heap to its next regular collection.
func (m *meter) bloated() bool {
	if m.unseen < heapEvery {
		return false
	}
	m.unseen = 0
	if m.heapSize() <= m.heapLimit {
		return false
	}
	runtime.GC()
	return m.heapSize() > m.heapLimit
}

func (m *meter) heapSize() uint64 {
	metrics.Read(m.heap)
	return m.heap[0].Value.Uint64()
}

// Deadline, Err and Value make a meter a context.Context.
func (m *meter) Deadline() (time.Time, bool) { return time.Time{}, false }
func (m *meter) Err() error                  { return m.err }
func (m *meter) Value(any) any               { return nil }
