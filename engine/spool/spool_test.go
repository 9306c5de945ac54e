package spool

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// gate is a log's reader that takes nothing while it is shut, or refuses everything.
type gate struct {
	shut    sync.Mutex // held while nothing is taken
	mu      sync.Mutex
	refuses bool
	text    strings.Builder
}

func (g *gate) Write(p []byte) (int, error) {
	g.shut.Lock()
	defer g.shut.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refuses {
		return 0, io.ErrClosedPipe
	}
	return g.text.Write(p)
}

func (g *gate) lines() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Split(strings.TrimSuffix(g.text.String(), "\n"), "\n")
}

func (g *gate) refuse(all bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuses = all
}

func open() (*gate, *Spool, *slog.Logger) {
	g := &gate{}
	s := New(slog.NewTextHandler(g, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	return g, s, slog.New(s.Handler())
}

// changing is an error whose text changes.
type changing struct{ text *string }

func (c changing) Error() string { return *c.text }

func TestOrder(t *testing.T) {
	g, s, log := open()
	g.shut.Lock()
	text := "before"
	log.With("a", 1).WithGroup("g").Info("one", "b", "x y", slog.Group("h", "error", changing{&text}))
	log.Debug("not this")
	text = "after"
	for i := range 100 {
		log.Info("line", "n", i)
	}
	g.shut.Unlock()
	s.Flush()
	got := g.lines()
	if len(got) != 101 || got[0] != `level=INFO msg=one a=1 g.b="x y" g.h.error=before` {
		t.Fatalf("%d lines, the first: %s", len(got), got[0])
	}
	for i, l := range got[1:] {
		if want := fmt.Sprintf("level=INFO msg=line n=%d", i); l != want {
			t.Fatalf("line %d is %q", i, l)
		}
	}
}

// TestFull: nobody who logs waits, and the log says where how many lines are missing.
func TestFull(t *testing.T) {
	g, s, log := open()
	g.shut.Lock()
	log.Info("held") // by the writer
	for begun := time.Now(); len(s.lines) > 0 && time.Since(begun) < time.Minute; {
		time.Sleep(time.Millisecond)
	}
	for i := range limit + 7 {
		log.Info("line", "n", i)
	}
	if n := s.Dropped(); n != 7 {
		t.Fatalf("%d lines are dropped, want 7", n)
	}
	g.shut.Unlock()
	s.Flush()
	log.Info("last")
	s.Flush()
	got := g.lines()
	const missing = `level=WARN msg="log lines are missing: the log could not take them in time" lines=7`
	if n := len(got); n != limit+3 || got[n-1] != "level=INFO msg=last" || got[n-2] != missing {
		t.Fatalf("%d lines, the last: %q", n, got[max(0, n-3):])
	}
}

// TestRefused: lines that the log does not take are counted, and told of when it takes some again.
func TestRefused(t *testing.T) {
	g, s, log := open()
	g.refuse(true)
	log.Info("one")
	log.Info("two")
	s.Flush()
	if n := s.Dropped(); n != 2 {
		t.Fatalf("%d lines are dropped, want 2", n)
	}
	g.refuse(false)
	log.Info("three")
	s.Flush()
	if got := strings.Join(g.lines(), "\n"); !strings.Contains(got, "lines=2") || !strings.Contains(got, "three") || strings.Contains(got, "two") {
		t.Errorf("the log:\n%s", got)
	}
}

// TestFlushGivesUp: a log that takes nothing does not keep a process from ending.
func TestFlushGivesUp(t *testing.T) {
	g, s, log := open()
	g.shut.Lock()
	defer g.shut.Unlock()
	for range limit + 2 {
		log.Info("line")
	}
	done := make(chan struct{})
	go func() {
		s.Flush()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("it waits for ever")
	}
}

const beCrashing = "MOONLATCH_TEST_CRASH"

func TestMain(m *testing.M) {
	if os.Getenv(beCrashing) == "" {
		os.Exit(m.Run())
	}
	s := New(slog.NewTextHandler(os.Stdout, nil))
	go func() {
		defer s.Crash()
		for i := range 2000 {
			slog.New(s.Handler()).Info("line", "n", i)
		}
		panic("on purpose")
	}()
	select {}
}

// TestCrash: what was logged before a panic is in the log.
func TestCrash(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), beCrashing+"=1")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || !strings.Contains(errs.String(), "on purpose") || !strings.Contains(errs.String(), "spool_test.go") {
		t.Errorf("the panic does not show: %v\n%s", err, errs.String())
	}
	if n := strings.Count(string(out), "\n"); n != 2000 {
		t.Errorf("%d lines, want 2000", n)
	}
}

func TestNil(t *testing.T) {
	var s *Spool
	s.Flush()
	if s.Dropped() != 0 {
		t.Error("what is not there has dropped lines")
	}
}
