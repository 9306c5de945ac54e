package nflog_test

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/nflog"
)

// At a low rate every packet is a message of its own, and comes as soon as it
// does to a Reader whose threshold is fixed at 1, which sees the same packets.
func TestAdaptiveAddsNoLatencyAtLowRates(t *testing.T) {
	loadRules(t, `
		table inet t {
			chain input {
				type filter hook input priority filter
				udp dport 9 log group 5 log group 6 drop
			}
		}`)
	const rate, n = 100, 150
	var took [2][]time.Duration
	var readers sync.WaitGroup
	for i, cfg := range []nflog.Config{{Group: 5}, {Group: 6, QueueThreshold: 1}} {
		r := open(t, cfg)
		readers.Go(func() {
			within(t, r, func() {
				for len(took[i]) < n {
					if err := r.Read(func(e *nflog.Event) { took[i] = append(took[i], time.Since(e.Time)) }); err != nil {
						t.Error(err)
						return
					}
				}
			})
			if s := r.Stats(); s.Datagrams != n || s.Threshold != 1 || s.Tunings != 0 {
				t.Errorf("group %d: %+v, want a datagram for each packet", cfg.Group, s)
			}
		})
	}
	wait := sendPaced(t, rate, n)
	readers.Wait()
	wait()
	if t.Failed() {
		return
	}
	more := make([]time.Duration, n)
	for i := range more {
		more[i] = took[0][i] - took[1][i]
	}
	slices.Sort(more)
	if more[n/2] > 5*time.Millisecond {
		t.Errorf("an adaptive threshold adds %v at the median, want nothing", more[n/2])
	}
	for i := range took {
		slices.Sort(took[i])
	}
	t.Logf("adaptive: p50 %v, p99 %v; fixed: p50 %v, p99 %v",
		took[0][n/2], took[0][n*99/100], took[1][n/2], took[1][n*99/100])
}

// flood sends and reads until done reports true.
func flood(t *testing.T, r *nflog.Reader, conn *net.UDPConn, done func(nflog.Stats) bool) {
	t.Helper()
	within(t, r, func() {
		for sent := r.Stats().Events; !done(r.Stats()); {
			send(t, conn, 500, nil)
			for sent += 500; r.Stats().Events < sent; {
				if err := r.Read(func(*nflog.Event) {}); err != nil {
					t.Fatalf("Read: %v, %+v", err, r.Stats())
				}
			}
		}
	})
}

func TestAdaptiveBatchesFloods(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	conn := sender(t)
	flood(t, r, conn, func(s nflog.Stats) bool { return s.Threshold >= 64 })

	var s nflog.Stats
	batch := uint64(0)
	for round := 0; round < 5 && batch < 40; round++ { // a flood that a busy machine holds up is none
		settled := r.Stats()
		flood(t, r, conn, func(s nflog.Stats) bool { return s.Events >= settled.Events+20000 })
		s = r.Stats()
		batch = (s.Events - settled.Events) / (s.Datagrams - settled.Datagrams)
	}
	if batch < 40 {
		t.Errorf("%d events in a datagram, want many: %+v", batch, s)
	}
	if s.Lost != 0 || s.Malformed != 0 {
		t.Errorf("%+v, want nothing lost", s)
	}
}

// A flood that ends leaves nothing behind: its last packet comes, and once it is quiet the threshold falls, with no packet to say so.
func TestAdaptiveEndOfFlood(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	conn := sender(t)
	flood(t, r, conn, func(s nflog.Stats) bool { return s.Threshold > 1 })

	took := make(chan time.Duration, 1)
	read := func() error { return r.Read(func(e *nflog.Event) { took <- time.Since(e.Time) }) }
	send(t, conn, 1, nil)
	within(t, r, func() {
		if err := read(); err != nil {
			t.Fatal(err)
		}
	})
	last := <-took
	t.Logf("the last packet took %v", last)
	quiet := make(chan error, 1)
	go func() { quiet <- read() }()
	waitFor(t, r, func(s nflog.Stats) bool { return s.Threshold == 1 })
	if len(quiet) > 0 {
		t.Errorf("Read returned %v without a packet", <-quiet)
	}
	send(t, conn, 1, nil)
	within(t, r, func() {
		if err := <-quiet; err != nil || len(took) != 1 {
			t.Errorf("Read = %v with %d events, want one", err, len(took))
		}
	})
}

// A threshold falls as well when packets keep coming.
func TestAdaptiveFollowsFallingRate(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	conn := sender(t)
	flood(t, r, conn, func(s nflog.Stats) bool { return s.Threshold >= 64 })
	high := r.Stats()
	within(t, r, func() {
		for r.Stats().Threshold > 1 {
			send(t, conn, 1, nil)
			if err := r.Read(func(*nflog.Event) {}); err != nil {
				t.Fatalf("Read: %v, %+v", err, r.Stats())
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	if s := r.Stats(); s.Tunings > high.Tunings+4 {
		t.Errorf("%+v, then %+v: want the threshold to fall in few steps", high, s)
	}
}

// Tune fixes the threshold, and lets go of it again.
func TestTuneEndsAdapting(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	conn := sender(t)
	if err := r.Tune(2, 0); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	flood(t, r, conn, func(nflog.Stats) bool { return time.Since(start) > 300*time.Millisecond })
	if s := r.Stats(); s.Threshold != 2 || s.Tunings != 0 {
		t.Errorf("%+v, want a threshold of 2", s)
	}
	if err := r.Tune(0, 0); err != nil {
		t.Fatal(err)
	}
	if s := r.Stats(); s.Threshold != 1 {
		t.Errorf("%+v, want a threshold of 1 to start with", s)
	}
	flood(t, r, conn, func(s nflog.Stats) bool { return s.Threshold > 2 })
}

// An adaptive threshold keeps the flush timeout that it was given.
func TestAdaptiveFlushTimeout(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	conn := sender(t)
	if err := r.Tune(0, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	flood(t, r, conn, func(s nflog.Stats) bool { return s.Threshold > 1 })
	start := time.Now()
	send(t, conn, 1, nil)
	collect(t, r, 1)
	if d := time.Since(start); d < 400*time.Millisecond {
		t.Errorf("a lone packet took %v, want the flush timeout of 500ms", d)
	}
}

// A deadline that was set for an adaptive threshold does not outlive it.
func TestTuneWhileLookingUp(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	conn := sender(t)
	flood(t, r, conn, func(s nflog.Stats) bool { return s.Threshold > 1 })
	if err := r.Tune(3, 0); err != nil {
		t.Fatal(err)
	}
	var before unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &before); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Second, func() { conn.Write(nil) })
	collect(t, r, 1)
	var after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &after); err != nil {
		t.Fatal(err)
	}
	if busy := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()); busy > 500*time.Millisecond {
		t.Errorf("Read used %v of CPU to wait for a second", busy)
	}
	if s := r.Stats(); s.Threshold != 3 {
		t.Errorf("%+v, want a threshold of 3", s)
	}
}

// A program may drop its privileges once it reads: then the threshold stays.
func TestAdaptiveWithoutCapability(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	conn := sender(t)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		done <- floodWithoutCapability(r, conn)
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if s := r.Stats(); s.Threshold != 1 || s.Tunings != 1 {
		t.Errorf("%+v, want a threshold of 1 after an attempt to change it", s)
	}
}

func floodWithoutCapability(r *nflog.Reader, conn *net.UDPConn) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return err
	}
	const more = 100 // rounds after the attempt
	start := time.Now()
	for last := more; last > 0; {
		const n = 50 // no more than a Read brings
		for range n {
			if _, err := conn.Write(nil); err != nil {
				return err
			}
		}
		for sent := r.Stats().Events + n; r.Stats().Events < sent; {
			if err := r.Read(func(*nflog.Event) {}); err != nil {
				return err
			}
		}
		if r.Stats().Tunings > 0 {
			last--
		}
		if time.Since(start) > time.Minute {
			return fmt.Errorf("no attempt to tune: %+v", r.Stats())
		}
	}
	return nil
}

func TestAdaptingDoesNotAllocate(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	conn := sender(t)
	read := func(*nflog.Event) {}
	perRun := testing.AllocsPerRun(2, func() {
		for sent := r.Stats().Events; r.Stats().Threshold == 1; {
			send(t, conn, 500, nil)
			for sent += 500; r.Stats().Events < sent; {
				if err := r.Read(read); err != nil {
					t.Fatal(err)
				}
			}
		}
		for r.Stats().Threshold > 1 {
			send(t, conn, 1, nil)
			if err := r.Read(read); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	if perRun != 0 {
		t.Errorf("%v allocations to grow and to shrink", perRun)
	}
}

// waitFor waits until the statistics are as done wants them.
func waitFor(t *testing.T, r *nflog.Reader, done func(nflog.Stats) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(r.Stats()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still %+v", r.Stats())
		}
	}
}
