package guard

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/netns/netnstest"
)

// TestFullDisk arms on a disk that is too small: refused, with nothing left behind.
func TestFullDisk(t *testing.T) {
	netnstest.Kernel(t)
	w := newWorld(t)
	must(t, os.Mkdir(w.state, 0o700))
	must(t, unix.Mount("none", w.state, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { unix.Unmount(w.state, unix.MNT_DETACH) })
	_, err := w.Arm(Order{What: "large", Time: time.Hour}, func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "snapshot"), make([]byte, 128<<10), 0o600)
	})
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("error %v, want ENOSPC", err)
	}
	if _, err := w.Pending(); !errors.Is(err, ErrNone) {
		t.Errorf("pending: %v", err)
	}
	o := w.arm(time.Hour)
	must(t, func() error { _, err := w.Now(); return err }())
	w.await(o)
}

// TestDiskTakesNoMore fills the disk, or makes it read-only, under an armed
// watchdog: what was ordered is done on time all the same.
func TestDiskTakesNoMore(t *testing.T) {
	netnstest.Kernel(t)
	for name, spoil := range map[string]func(w *world) error{
		"full": func(w *world) error {
			os.WriteFile(filepath.Join(w.state, "filler"), make([]byte, 1<<20), 0o600)
			return nil
		},
		"read-only": func(w *world) error {
			return unix.Mount("none", w.state, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
		},
		"removed": func(w *world) error { return os.RemoveAll(filepath.Join(w.state, "guard")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			must(t, os.Mkdir(w.state, 0o700))
			must(t, unix.Mount("none", w.state, "tmpfs", 0, "size=512k"))
			t.Cleanup(func() { unix.Unmount(w.state, unix.MNT_DETACH) })
			o := w.arm(time.Second)
			must(t, spoil(w))
			w.until("it is done", func() bool { return w.deeds() > 0 })
			if left, err := o.Left(); err != nil || left > 0 {
				t.Errorf("done with %s left (%v)", left, err)
			}
			if _, err := w.End(); err == nil {
				t.Error("it was called off after it was done")
			}
			time.Sleep(200 * time.Millisecond)
			if n := w.deeds(); n != 1 {
				t.Errorf("done %d times", n)
			}
		})
	}
}

// TestWatchdogKilled kills the process on duty: its standby does what was ordered.
func TestWatchdogKilled(t *testing.T) {
	w := newWorld(t)
	o := w.arm(ample)
	pids := w.pids()
	if len(pids) != 2 {
		t.Fatalf("processes %v, want a watchdog and its standby", pids)
	}
	w.kill(syscall.SIGKILL, pids[0])
	if r := w.await(o); r.Outcome != Done || w.deeds() != 1 {
		t.Errorf("done %d times: %+v", w.deeds(), r)
	}
}

// TestOneAfterAnother kills whichever is on duty, again and again: there is always one more.
func TestOneAfterAnother(t *testing.T) {
	w := newWorld(t)
	w.arm(time.Hour)
	for range 3 {
		w.until("two watchdogs", func() bool {
			_, one, err := w.holder(onDuty)
			_, other, otherErr := w.holder(standby)
			return one && other && err == nil && otherErr == nil
		})
		b, err := os.ReadFile(w.path("lock"))
		must(t, err)
		first, err := strconv.Atoi(string(b))
		must(t, err)
		w.kill(syscall.SIGKILL, first)
		w.until("another one is on duty", func() bool {
			b, err := os.ReadFile(w.path("lock"))
			return err == nil && len(b) > 0 && string(b) != strconv.Itoa(first)
		})
	}
	o, err := w.Now()
	must(t, err)
	if r := w.await(o); r.Outcome != Done || w.deeds() != 1 {
		t.Errorf("%+v, done %d times", r, w.deeds())
	}
}

// TestBothKilled kills every process there is: the next one that looks finishes
// the job, before its time or after.
func TestBothKilled(t *testing.T) {
	for name, in := range map[string]time.Duration{"before": time.Hour, "after": 500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o, err := w.Arm(Order{What: "a test", Time: in}, w.save)
			must(t, err)
			if in == time.Hour {
				w.start()
				w.kill(syscall.SIGKILL, w.pids()...)
				w.until("they are dead", func() bool { _, alive, err := w.holder(onDuty); return err == nil && !alive })
			} else {
				time.Sleep(in)
				if _, err := w.End(); !errors.Is(err, ErrLate) {
					t.Errorf("End past the deadline: %v", err)
				}
			}
			if late := w.ensure(); late != (in != time.Hour) {
				t.Errorf("late: %v", late)
			}
			if in == time.Hour {
				_, err = w.Now()
				must(t, err)
			}
			if r := w.await(o); r.Outcome != Done || w.deeds() != 1 {
				t.Errorf("done %d times: %+v", w.deeds(), r)
			}
		})
	}
}

// ensure has another process look after the order.
func (w *world) ensure() (late bool) {
	w.t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestEnsurer$", "-test.v")
	cmd.Env = append(os.Environ(), ensurer+"="+w.state)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	return contains(out, "LATE")
}

const ensurer = "GUARD_TEST_ENSURER"

// TestEnsurer is the other half of ensure.
func TestEnsurer(t *testing.T) {
	state := os.Getenv(ensurer)
	if state == "" {
		return // this is not that process
	}
	os.Setenv(beWatchdog, state)
	_, late, err := At(state, "guard").Ensure(t.Context(), "keep")
	must(t, err)
	if late {
		t.Log("LATE")
	}
}

// TestStoppedWatchdog stops the process on duty past its time: the next command
// wakes it.
func TestStoppedWatchdog(t *testing.T) {
	w := newWorld(t)
	o := w.arm(ample)
	w.kill(syscall.SIGSTOP, w.pids()...)
	w.until("its time is well over", func() bool {
		left, err := o.Left()
		return err != nil || left < -overdue
	})
	if w.deeds() != 0 {
		t.Fatal("a stopped process did it")
	}
	w.ensure()
	if r := w.await(o); r.Outcome != Done || w.deeds() != 1 {
		t.Errorf("done %d times: %+v", w.deeds(), r)
	}
	w.kill(syscall.SIGCONT, w.pids()...)
}

// TestHangUp sends the watchdog every signal of a terminal and of a session's end.
func TestHangUp(t *testing.T) {
	w := newWorld(t)
	o := w.arm(ample)
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU} {
		w.kill(s, w.pids()...)
	}
	time.Sleep(100 * time.Millisecond)
	if pids := w.pids(); len(pids) != 2 {
		t.Errorf("alive: %v, want both", pids)
	}
	if r := w.await(o); r.Outcome != Done || w.deeds() != 1 {
		t.Errorf("done %d times: %+v", w.deeds(), r)
	}
}

// TestReboot changes the boot's id: what was pending for one boot is dropped, a
// repeating order goes on.
func TestReboot(t *testing.T) {
	for _, repeat := range []bool{false, true} {
		w := &world{t: t, state: t.TempDir(), deed: filepath.Join(t.TempDir(), "deeds")}
		w.Watch = At(w.state, "guard")
		t.Cleanup(func() { w.kill(syscall.SIGKILL, w.pids()...) })
		o, err := w.Arm(Order{What: "a test", Time: 500 * time.Millisecond, Repeat: repeat}, w.save)
		must(t, err)
		o.Start.Boot = "another"
		must(t, write(w.path("pending/order.json"), o))
		if late := w.ensure(); late == repeat {
			t.Errorf("repeat %v: late %v", repeat, late)
		}
		if !repeat {
			if r := w.await(o); r.Outcome != Rebooted || w.deeds() != 0 {
				t.Errorf("done %d times: %+v", w.deeds(), r)
			}
			continue
		}
		w.until("it is done twice", func() bool { return w.deeds() >= 2 })
		now, err := w.Pending()
		must(t, err)
		if left, err := now.Left(); err != nil || left > now.Time {
			t.Errorf("after the reboot: %s left (%v)", left, err)
		}
		_, err = w.End()
		must(t, err)
		w.await(now)
	}
}

// TestAnotherNamespace: what is pending for one network namespace is none of a
// command's in another.
func TestAnotherNamespace(t *testing.T) {
	w := newWorld(t)
	o, err := w.Arm(Order{What: "a test", Time: time.Millisecond}, w.save)
	must(t, err)
	o.Netns++
	must(t, write(w.path("pending/order.json"), o))
	w.ensure()
	if pids := w.pids(); len(pids) != 0 || w.deeds() != 0 {
		t.Errorf("processes %v, done %d times", pids, w.deeds())
	}
}

// TestFailingAndHanging lets what was ordered fail, then hang, then succeed.
func TestFailingAndHanging(t *testing.T) {
	w := newWorld(t)
	folder := filepath.Dir(w.deed)
	must(t, os.WriteFile(filepath.Join(folder, "fail"), nil, 0o600))
	o := w.arm(200 * time.Millisecond)
	w.until("it fails", func() bool {
		r, err := w.Last()
		return err == nil && r.Outcome == Failing && r.Error == "told to fail"
	})
	must(t, os.Rename(filepath.Join(folder, "fail"), filepath.Join(folder, "hang")))
	w.until("it hangs and is killed", func() bool { r, err := w.Last(); return err == nil && r.Error == "context deadline exceeded" })
	if _, err := w.End(); !errors.Is(err, ErrLate) {
		t.Errorf("End while it is done: %v", err)
	}
	must(t, os.Remove(filepath.Join(folder, "hang")))
	if r := w.await(o); r.Outcome != Done || r.Tries < 3 || w.deeds() != 1 {
		t.Errorf("done %d times: %+v", w.deeds(), r)
	}
}

// TestHoldsNothingOfItsCaller starts a watchdog from a process that has a lock
// open: the lock is free when that process is gone.
func TestHoldsNothingOfItsCaller(t *testing.T) {
	w := newWorld(t)
	_, err := w.Arm(Order{What: "a test", Time: time.Hour}, w.save)
	must(t, err)
	path := filepath.Join(t.TempDir(), "callers.lock")
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command("sh", "-c", `exec 9>"$0"; flock -n 9 && exec "$1" -test.run='^TestStarter$'`, path, self)
	cmd.Env = append(os.Environ(), starter+"="+w.state)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(w.pids()) != 2 {
		t.Fatalf("watchdogs: %v", w.pids())
	}
	if out, err := exec.Command("flock", "-n", path, "true").CombinedOutput(); err != nil {
		t.Errorf("the watchdog holds its caller's lock: %v %s", err, out)
	}
	for _, pid := range w.pids() {
		if cwd, err := os.Readlink(filepath.Join("/proc", itoa(pid), "cwd")); err != nil || cwd != "/" {
			t.Errorf("works in %q (%v)", cwd, err)
		}
		if sid, err := unix.Getsid(pid); err != nil || sid != pid {
			t.Errorf("process %d is in session %d (%v)", pid, sid, err)
		}
	}
}

// TestDiesAtATick kills the process on duty while it does what is due at a tick: its standby does it, and does not wait
// for the next tick, an hour later.
func TestDiesAtATick(t *testing.T) {
	w := newWorld(t)
	o, err := w.Arm(Order{What: "a test", Time: time.Hour, Repeat: true}, w.save)
	must(t, err)
	o.Start = o.Start.In(2*time.Second - time.Hour)
	must(t, write(w.path("pending/order.json"), o))
	hang := filepath.Join(filepath.Dir(w.deed), "hang")
	must(t, os.WriteFile(hang, nil, 0o600))
	w.start()
	pids := w.pids()
	w.until("the tick", func() bool {
		left, err := (Order{Start: o.Start, Time: o.Time}).Left()
		return err == nil && left < -100*time.Millisecond
	})
	w.kill(syscall.SIGKILL, pids[0])
	must(t, os.Remove(hang))
	w.until("the standby does it", func() bool { return w.deeds() == 1 })
	_, err = w.End()
	must(t, err)
	w.await(o)
}
