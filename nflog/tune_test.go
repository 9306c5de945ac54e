package nflog_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/nflog"
)

func TestTune(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	conn := sender(t)

	step := func(threshold uint32, timeout time.Duration, packets int, want uint64) {
		t.Helper()
		if err := r.Tune(threshold, timeout); err != nil {
			t.Fatal(err)
		}
		before := r.Stats()
		send(t, conn, packets, nil)
		collect(t, r, packets)
		if got := r.Stats().Datagrams - before.Datagrams; got != want {
			t.Errorf("threshold %d: %d packets in %d datagrams, want %d", threshold, packets, got, want)
		}
	}
	step(1, 0, 50, 50)
	step(50, 10*time.Second, 50, 1)
	step(25, 10*time.Second, 50, 2)
	step(0, 0, 50, 50)
}

// A high threshold is worth as much as the kernel's message buffer holds.
func TestLargeBatches(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5, QueueThreshold: 100000, FlushTimeout: 500 * time.Millisecond})
	const n = 400
	conn := sender(t)
	fewest := uint64(n)
	for round := 0; round < 5 && fewest > n/80; round++ { // what is sent slowly is flushed by the kernel's timer
		before := r.Stats()
		send(t, conn, n, make([]byte, 50))
		collect(t, r, n)
		fewest = min(fewest, r.Stats().Datagrams-before.Datagrams)
	}
	if fewest > n/80 {
		t.Errorf("%d datagrams, want 80 events in one at least", fewest)
	}
}

func TestFlushTimeout(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5, QueueThreshold: 1000})
	conn := sender(t)
	wait := func() time.Duration {
		start := time.Now()
		send(t, conn, 1, nil)
		collect(t, r, 1)
		return time.Since(start)
	}
	if d := min(wait(), wait(), wait()); d > 2*time.Second {
		t.Errorf("a lone packet took %v with no flush timeout, want a tick", d)
	}
	if err := r.Tune(1000, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if d := wait(); d < 400*time.Millisecond {
		t.Errorf("a lone packet took %v, want the flush timeout of 500ms", d)
	}
}

// Tune, Stats and Read do not disturb each other, nor lose a packet.
func TestTuneWhileReading(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	conn := sender(t)
	const n = 3000
	stop := make(chan struct{})
	tune := func() error {
		for i := uint32(0); ; i++ {
			select {
			case <-stop:
				return nil
			default:
			}
			if err := r.Tune(i%100, time.Duration(i%3)*10*time.Millisecond); err != nil {
				return err
			}
			if s := r.Stats(); s.Events > n {
				return fmt.Errorf("%+v", s)
			}
		}
	}
	tuned := make(chan error, 2)
	for range cap(tuned) {
		go func() { tuned <- tune() }()
	}
	go func() {
		for range n {
			conn.Write(nil)
		}
	}()
	collect(t, r, n)
	close(stop)
	for range cap(tuned) {
		if err := <-tuned; err != nil {
			t.Error(err)
		}
	}
	if s := r.Stats(); s.Lost != 0 || s.Malformed != 0 {
		t.Errorf("%+v, want nothing lost", s)
	}
}

func TestTuneRefused(t *testing.T) {
	r := open(t, nflog.Config{Group: 5})
	if err := r.Tune(1, -1); err == nil {
		t.Error("Tune took a negative timeout")
	}
	if err := r.Unbind(); err != nil {
		t.Fatal(err)
	}
	if err := r.Tune(5, 0); err != nil {
		t.Fatal(err)
	}
	within(t, r, func() {
		if err := r.Read(func(*nflog.Event) {}); !errors.Is(err, unix.ENODEV) {
			t.Errorf("Read = %v, want the kernel's refusal, %v", err, unix.ENODEV)
		}
	})
}
