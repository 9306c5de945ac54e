package engine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"moonlatch/engine/detect"
	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/policy"
)

// stall makes who passes it wait while it is closed. It is an Observer and a log
// handler, so that it can hold up the daemon's own goroutines.
type stall struct {
	unobserved
	slog.Handler
	caller, reader, lua sync.RWMutex
}

func (s *stall) CallbackTook(string, time.Duration) {
	s.caller.RLock()
	defer s.caller.RUnlock()
}

func (s *stall) Handle(ctx context.Context, r slog.Record) error {
	switch r.Message {
	case "would ban": // says the reader
		s.reader.RLock()
		defer s.reader.RUnlock()
	case "knocked": // says the policy's handler
		s.lua.RLock()
		defer s.lua.RUnlock()
	}
	return s.Handler.Handle(ctx, r)
}

// knocked has a handler, a check, and a detector that finds every packet to port 9.
const knocked = `
local fw = require "moonlatch"
local seen = fw.stream "seen"
fw.chain "input" { hook = "input" } { "knock", udp = 9, seen, fw.drop }
fw.detect "knocking" { on = seen, over = 1, within = "60s", ban = "1h", shadow = true }
fw.on(seen, function() fw.log.info("knocked") end)
fw.watchdog { lease = "5s", check = function() return true end }
`

// startDaemon runs a daemon with a policy in the tests' namespace.
func startDaemon(t *testing.T, s *stall, source string) *Daemon {
	t.Helper()
	netnstest.Kernel(t)
	folder := t.TempDir()
	s.Handler = slog.NewTextHandler(io.Discard, nil)
	d, err := Start(t.Context(), Config{State: filepath.Join(folder, "state"), Log: slog.New(s), Observe: s}, filepath.Join(folder, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		if _, err := d.Reset(context.Background()); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(folder, "knocked.lua")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	p, req, err := Load(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if _, err := d.Apply(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	return d
}

func knock(t *testing.T, times int) {
	t.Helper()
	c, err := net.Dial("udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range times {
		if _, err := c.Write([]byte("knock")); err != nil {
			t.Fatal(err)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting until %s", what)
		}
	}
}

// A goroutine that hangs stops the renewals, until it goes on.
func TestHangingGoroutineStopsRenewals(t *testing.T) {
	var s stall
	d := startDaemon(t, &s, knocked)
	eventually(t, "the lease is renewed", func() bool { return d.liveness.snapshot().Renewals > 0 })
	for cause, gate := range map[string]*sync.RWMutex{"caller": &s.caller, "reader": &s.reader} {
		hang(t, d, cause, gate)
		d.liveness.lookNow()
		eventually(t, cause+" goes on", func() bool { return !d.liveness.snapshot().Failing })
	}
}

// hang closes a gate until the daemon has missed who hangs there, twice.
func hang(t *testing.T, d *Daemon, cause string, gate *sync.RWMutex) {
	t.Helper()
	gate.Lock()
	defer gate.Unlock()
	knock(t, 2)
	eventually(t, cause+" is missed", func() bool { return d.liveness.snapshot().Failures[cause] > 0 })
	was := d.liveness.snapshot().Renewals
	eventually(t, cause+" is missed again", func() bool { return d.liveness.snapshot().Failures[cause] > 1 })
	l := d.liveness.snapshot()
	if l.Renewals != was || !l.Failing || !strings.Contains(d.liveness.status().Failing, "has hung for 1.667s") {
		t.Errorf("%s hangs: %+v, %+v", cause, l, d.liveness.status())
	}
}

// A generation that reached the kernel before its policy runs gets no renewal that
// nobody has checked, and no failure is told either.
func TestNoRenewalBeforeThePolicyRuns(t *testing.T) {
	var s stall
	d := startDaemon(t, &s, knocked)
	d.mu.Lock() // nobody brings the daemon in step with the kernel
	defer d.mu.Unlock()
	rt := d.running.Swap(nil)
	defer d.running.Store(rt)
	if next := d.look(t.Context()); next != syncEvery {
		t.Errorf("it looks again in %s, as if it had renewed", next)
	}
	if l := d.liveness.snapshot(); l.Failing || l.Openings > 0 {
		t.Errorf("it tells of a failure: %+v", l)
	}
}

// A check that nobody lets have its turn does not hold up who asks for it.
func TestCheckWithoutTurn(t *testing.T) {
	var s stall
	d := startDaemon(t, &s, strings.Replace(knocked, `lease = "5s", `, "", 1)) // so that nobody else asks
	if err := d.runCheck(t.Context()); err != nil {
		t.Error(err)
	}
	s.lua.Lock()
	defer s.lua.Unlock()
	knock(t, 1)
	eventually(t, "the handler hangs", func() bool { return d.queue.stats().taken > 0 })
	time.Sleep(50 * time.Millisecond) // from the queue to Lua
	for _, want := range []string{"it did not get its turn among the policy's callbacks: time is up", "the one before it has not ended: time is up"} {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("time is up"))
		if err := d.runCheck(ctx); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		cancel()
	}
}

// A flood of events for a slow handler is no death: the caller's pulse is felt
// between any two of them.
func TestBusyCallerHasAPulse(t *testing.T) {
	const source = `
local fw = require "moonlatch"
local seen = fw.stream "seen"
fw.chain "input" { hook = "input" } { "knock", udp = 9, seen, fw.drop }
fw.detect "knocking" { on = seen, over = 1, within = "60s", action = function() for _ = 1, 200000 do end end }`
	p, err := policy.Load(fstest.MapFS{"policy.lua": {Data: []byte(source)}}, "policy.lua", policy.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	rt, err := newRuntime(1, p)
	if err != nil {
		t.Fatal(err)
	}
	c := newCaller(newQueue(), func(error) {}, unobserved{})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.run(ctx) })
	c.switchTo(rt)
	for range queueLimit { // some 10 s of work
		c.queue.put(func(cb *callback) { cb.finding(rt, rt.detectors[0].Detector, &detect.Hit{}) })
	}
	for range 5 {
		patience, stop := context.WithTimeout(ctx, time.Minute)
		if !c.pulse.feel(patience, c.queue.wake) {
			t.Error("no pulse")
		}
		stop()
	}
	if left := c.queue.stats().waiting; left == 0 {
		t.Errorf("the caller was not busy: %+v", rt.detectors[0].Action.Stats())
	}
	cancel()
	running.Wait()
}

// An answer that came too late is none for the next who asks.
func TestPulseThatComesTooLate(t *testing.T) {
	p := newPulse()
	var awake atomic.Int32
	wake := func() { awake.Add(1) }
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if p.feel(over, wake) {
		t.Error("a pulse is felt where none beats")
	}
	p.beat()
	p.beat()
	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if p.feel(brief, wake) || awake.Load() != 2 {
		t.Errorf("an old beat is taken for a new one, or nobody was woken (%d)", awake.Load())
	}
	if !p.feel(t.Context(), func() { go p.beat() }) {
		t.Error("no pulse is felt")
	}
}
