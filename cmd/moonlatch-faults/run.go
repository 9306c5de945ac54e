package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"
)

// promise is what must hold whatever happens.
type promise string

const (
	lockedOut   promise = "at each deadline the client gets in"
	wrongPolicy promise = "what was confirmed is what is in force"
	notRestored promise = "a boot restores what was confirmed"
	notHealed   promise = "what somebody flushed the daemon puts back"
	banLost     promise = "a ban holds, and ends when it should"
	halfApplied promise = "no packet meets half of a change"
	undone      promise = "after a guard that nobody confirmed the rules of others are as they were"
	noAnswer    promise = "every command answers, and the next apply and confirm work"
	leaked      promise = "nothing is left behind"
)

func promises() []promise {
	return []promise{lockedOut, wrongPolicy, notRestored, notHealed, banLost, halfApplied, undone, noAnswer, leaked}
}

// violation is a promise that was broken.
type violation struct {
	Promise promise   `json:"promise"`
	At      time.Time `json:"at"`
	What    string    `json:"what"`
}

// config is what the command line says.
type config struct {
	moonlatch string
	seed      uint64
	faults    int
	life      int    // -1 for as many as it takes
	steps     int    // in a life
	only      string // the kind of all steps, "" for any
	parallel  int
	enough    int // broken lives, to end the run
	within    time.Duration
}

// run is everything that happens in one run of the program.
type run struct {
	config
	folder string
	began  time.Time

	mu         sync.Mutex
	injected   map[string]int
	operations map[string]int
	checks     map[promise]int
	broken     map[promise]int
	bursts     int
	lockOuts   int // bursts that nobody answered
	slow       int // bursts that a busy machine held up
	played     int
	lives      int
	next       uint64
	accounts   []account
	unjudged   []account // of lives that a busy machine held up
	failures   []error   // of this program, not of Moonlatch
}

// account is a life that broke a promise, and how to see that again.
type account struct {
	Life       uint64      `json:"life"`
	Violations []violation `json:"violations"`
	Trace      []string    `json:"trace"`
	Log        string      `json:"daemon_log,omitempty"`
	Busy       string      `json:"busy,omitempty"` // why it could not be judged
	Again      string      `json:"again"`
}

func newRun(cfg config) (*run, error) {
	folder, err := os.MkdirTemp("", "faults")
	if err != nil {
		return nil, err
	}
	return &run{
		config: cfg, folder: folder, began: time.Now(),
		injected: map[string]int{}, operations: map[string]int{}, checks: map[promise]int{}, broken: map[promise]int{},
	}, nil
}

func (r *run) close() error { return os.RemoveAll(r.folder) }

// all plays lives, several at a time, until there were enough faults.
func (r *run) all(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.within)
	defer cancel()
	if r.life >= 0 {
		r.take(ctx, uint64(r.life))
		return
	}
	var workers sync.WaitGroup
	for i := range r.parallel {
		workers.Go(func() {
			time.Sleep(time.Duration(i) * 200 * time.Millisecond) // not all at once
			for number, ok := r.another(ctx); ok; number, ok = r.another(ctx) {
				r.take(ctx, number)
			}
		})
	}
	workers.Wait()
}

// another returns the number of the next life, if there is to be one.
func (r *run) another(ctx context.Context) (uint64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil || r.sum() >= r.faults || len(r.failures) > 0 || len(r.accounts) >= r.enough {
		return 0, false
	}
	r.next++
	return r.next - 1, true
}

// take plays a life and files what came of it.
func (r *run) take(ctx context.Context, number uint64) {
	l := r.liveOut(ctx, number)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lives++
	if len(l.broken) == 0 {
		return
	}
	a := account{Life: number, Violations: l.broken, Trace: l.trace, Log: l.log, Again: fmt.Sprintf("bin/moonlatch-faults --seed %d --life %d --steps %d", r.seed, number, r.steps)}
	if r.only != "" {
		a.Again += fmt.Sprintf(" --only %q", r.only)
	}
	if l.busy != "" {
		a.Busy = l.busy
		r.unjudged = append(r.unjudged, a)
		return
	}
	for _, v := range l.broken {
		r.broken[v.Promise]++
	}
	r.accounts = append(r.accounts, a)
}

// mostUnjudged is how many lives in a hundred may be given up because a busy machine does not let them be judged.
const mostUnjudged = 5

// tooBusy reports whether so many lives could not be judged that the rest says nothing. The caller holds r.mu.
func (r *run) tooBusy() bool { return len(r.unjudged) > max(1, r.lives*mostUnjudged/100) }

// sum is how many faults there were. The caller holds r.mu.
func (r *run) sum() int {
	n := 0
	for v := range maps.Values(r.injected) {
		n += v
	}
	return n
}

func (r *run) struck(kind string)    { r.count(func() { r.injected[kind]++ }) }
func (r *run) operation(name string) { r.count(func() { r.operations[name]++ }) }
func (r *run) checked(p promise)     { r.count(func() { r.checks[p]++ }) }
func (r *run) stepDone()             { r.count(func() { r.played++ }) }

// fail notes that this program failed. What the end of its time cut off did not.
func (r *run) fail(err error) {
	if errors.Is(err, context.DeadlineExceeded) && time.Since(r.began) >= r.within {
		return
	}
	r.count(func() { r.failures = append(r.failures, err) })
}

func (r *run) count(add func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	add()
}

// judged adds what a host's judge has seen.
func (r *run) judged(j *judge) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range j.seen {
		r.bursts += n
	}
	r.lockOuts += j.seen[closed]
	r.slow += j.slow
}

// verdict is nil if every promise held and this program did its work.
func (r *run) verdict() error {
	if len(r.failures) > 0 {
		return errors.Join(slices.Compact(r.failures[:min(len(r.failures), 5)])...)
	}
	switch {
	case len(r.accounts) > 0:
		return errors.New("promises were broken")
	case r.tooBusy():
		return errors.New("the machine is too busy to judge")
	}
	return nil
}
