package guard

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"moonlatch/engine/boottime"
)

// TestDeadline is the promise: with whoever armed it gone, the watchdog does what
// was ordered, once, when its time has come and not earlier.
func TestDeadline(t *testing.T) {
	w := newWorld(t)
	o := w.arm(time.Second)
	if left, err := o.Left(); err != nil || w.deeds() != 0 && left > 0 {
		t.Errorf("done with %s left (%v)", left, err)
	}
	r := w.await(o)
	if left, _ := o.Left(); left > 0 {
		t.Errorf("cleared away with %s left", left)
	}
	if w.deeds() != 1 || r.Outcome != Done || r.Tries != 1 || r.Did != "wrote" || r.Error != "" {
		t.Errorf("done %d times: %+v", w.deeds(), r)
	}
	w.until("the processes end", func() bool { return len(w.pids()) == 0 })
}

// TestEnd calls it off: nothing is done, then or later, and no process is left.
func TestEnd(t *testing.T) {
	w := newWorld(t)
	o := w.arm(ample)
	_, err := w.End()
	must(t, err)
	if r := w.await(o); r.Outcome != Ended {
		t.Errorf("result: %+v", r)
	}
	w.until("the processes end", func() bool { return len(w.pids()) == 0 })
	for left := time.Second; left > 0; time.Sleep(50 * time.Millisecond) {
		left, err = o.Left()
		must(t, err)
	}
	if w.deeds() != 0 {
		t.Error("it was done although it was called off")
	}
	if _, err := w.End(); !errors.Is(err, ErrNone) {
		t.Errorf("End, again: %v", err)
	}
}

// TestNow brings the deadline forward.
func TestNow(t *testing.T) {
	w := newWorld(t)
	o := w.arm(time.Hour)
	_, err := w.Now()
	must(t, err)
	if r := w.await(o); r.Outcome != Done || w.deeds() != 1 {
		t.Errorf("done %d times: %+v", w.deeds(), r)
	}
}

// TestConfirmRacesWithTheDeadline has the two meet again and again: exactly one
// of them wins.
func TestConfirmRacesWithTheDeadline(t *testing.T) {
	w := newWorld(t)
	won := map[bool]int{}
	for i := range 10 {
		before := w.deeds()
		o := w.arm(300 * time.Millisecond)
		left, err := o.Left()
		must(t, err)
		time.Sleep(left + time.Duration(i-7)*500*time.Microsecond)
		_, err = w.End()
		r := w.await(o)
		ended := err == nil
		if ended != (r.Outcome == Ended) || ended == (w.deeds() == before+1) {
			t.Fatalf("End: %v; result %q; done %d times", err, r.Outcome, w.deeds()-before)
		}
		won[ended]++
	}
	t.Logf("ended first: %d, done first: %d", won[true], won[false])
}

// TestDecide has two decide at once, many times: one of them does.
func TestDecide(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	for range 500 {
		must(t, os.RemoveAll(filepath.Join(dir, ended)))
		must(t, os.RemoveAll(filepath.Join(dir, due)))
		must(t, os.WriteFile(filepath.Join(dir, armed), nil, 0o600))
		results := make(chan error, 2)
		for _, as := range []string{ended, due} {
			go func() { results <- decide(root, as) }()
		}
		a, b := <-results, <-results
		if (a == nil) == (b == nil) {
			t.Fatalf("both or none: %v, %v", a, b)
		}
	}
}

// TestSecondTrialOverwroteTheBackup: a second order is refused, and the first
// one's payload stays.
func TestSecondTrialOverwroteTheBackup(t *testing.T) {
	w := newWorld(t)
	o := w.arm(time.Hour)
	saved := false
	_, err := w.Arm(Order{What: "another", Time: time.Second}, func(string) error { saved = true; return nil })
	if !errors.Is(err, ErrArmed) || saved {
		t.Errorf("the second one: %v; saved: %v", err, saved)
	}
	now, err := w.Pending()
	must(t, err)
	if now != o {
		t.Errorf("pending: %+v, want %+v", now, o)
	}
}

// TestFailedCommitLeftRollbackArmed: what could not be armed leaves nothing behind.
func TestFailedCommitLeftRollbackArmed(t *testing.T) {
	w := newWorld(t)
	_, err := w.Arm(Order{What: "no snapshot", Time: time.Hour}, func(string) error { return errors.New("no") })
	if err == nil {
		t.Fatal("armed without its payload")
	}
	if _, err := w.Pending(); !errors.Is(err, ErrNone) {
		t.Errorf("pending: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(w.state, "guard")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	o := w.arm(time.Hour)
	must(t, func() error { _, err := w.End(); return err }())
	w.await(o)
}

// TestWallClockJumps: the time of day is written down for people only.
func TestWallClockJumps(t *testing.T) {
	b, err := json.Marshal(Order{Start: boottime.Instant{Boot: "b", Since: 1}, Time: 1})
	must(t, err)
	var m map[string]any
	must(t, json.Unmarshal(b, &m))
	for key := range m {
		switch key {
		case "what", "by", "start", "time", "repeat", "netns":
		default:
			t.Errorf("an order has %q: is that a time of day?", key)
		}
	}
}

// TestRepeat does it again and again until it is called off.
func TestRepeat(t *testing.T) {
	w := newWorld(t)
	o, err := w.Arm(Order{What: "a net", Time: 300 * time.Millisecond, Repeat: true}, w.save)
	must(t, err)
	w.start()
	w.until("it is done three times", func() bool { return w.deeds() >= 3 })
	done := w.deeds() // first: this process may have to wait before it looks at the clock
	if now, _ := boottime.Now(); done > int((now.Since-o.Start.Since)/o.Time) {
		t.Errorf("done %d times, too often", done)
	}
	_, err = w.End()
	must(t, err)
	w.await(o)
	n := w.deeds()
	time.Sleep(2 * o.Time)
	if w.deeds() != n {
		t.Error("done after it was called off")
	}
}

// TestArmBesideOthers arms again and again in a process that starts others all the time: what they have open for
// a moment, before they are what they are to be, is nobody's order.
func TestArmBesideOthers(t *testing.T) {
	w := newWorld(t)
	const starters = 4
	ended := make(chan struct{}, starters)
	ctx, stop := context.WithCancel(t.Context())
	for range starters {
		go func() {
			for ctx.Err() == nil {
				exec.Command("true").Run()
			}
			ended <- struct{}{}
		}()
	}
	defer func() {
		stop()
		for range starters {
			<-ended
		}
	}()
	for range 300 {
		if _, err := w.Arm(Order{What: "no snapshot", Time: time.Hour}, func(string) error { return errNo }); !errors.Is(err, errNo) {
			t.Fatalf("armed, or refused: %v", err)
		}
	}
}

var errNo = errors.New("no")
