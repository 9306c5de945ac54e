package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"moonlatch/engine/guard"
)

// TestGuardedCommandIsNotRunUnwatched holds a guard up just before it starts its command: it
// starts nothing that might not be undone any more.
func TestGuardedCommandIsNotRunUnwatched(t *testing.T) {
	for name, tt := range map[string]struct {
		limit  string
		meddle func(w *world)
		exit   int
		says   string
	}{
		"its time is over": {"1s", func(w *world) {
			w.until("the guard's end", func() bool {
				_, err := guard.At(w.file("state"), guardWatch).Pending()
				return errors.Is(err, guard.ErrNone)
			})
		}, 7, "its guard was over before it"},
		"it was ended": {"1h", func(w *world) {
			w.ok("confirm")
			w.sh("nft delete table inet moonlatch") // the command made it
		}, 1, "was confirmed before it"},
		"both are dead": {"1h", (*world).killWatchdogs, 1, "is not watched"},
		"the standby is dead": {"1h", func(w *world) {
			w.signal(syscall.SIGKILL, w.watchdogs()[1])
			w.until("it is dead", func() bool { return len(w.watchdogs()) == 1 })
		}, 1, "is not watched"},
		"both were stopped":    {"1h", func(w *world) { w.pause(w.watchdogs()...) }, 1, "was stopped"},
		"the standby, stopped": {"1h", func(w *world) { w.pause(w.watchdogs()[1]) }, 1, "was stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			w := guardedWorld(t)
			before := w.listing()
			cmd, _ := w.guardCommand("--for", tt.limit, "--", "sh", "-c", "nft -f lock.nft; touch ran")
			out, full := fullPipe(t)
			cmd.Stderr = full
			must(t, w.server.Start(cmd))
			full.Close()
			w.until("the watchdog is ready", w.watchdogReady)
			tt.meddle(w)
			said := drain(out)
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tt.exit || !strings.Contains(<-said, tt.says) {
				t.Errorf("exit code %d, want %d with %q", code, tt.exit, tt.says)
			}
			if _, err := os.Stat(w.file("ran")); err == nil {
				t.Error("the command was run")
			}
			w.asBefore(before)
			w.until("no process is left", func() bool { return len(w.watchdogs()) == 0 })
		})
	}
}

// watchdogReady reports whether the watchdog has said that it is ready, and let go of who started it. One whose
// time is over was ready, too.
func (w *world) watchdogReady() bool {
	if _, err := os.Stat(w.file("state/guard/last.json")); err == nil {
		return true
	}
	pids := w.watchdogs()
	if len(pids) != 2 {
		return false
	}
	out, err := os.Readlink(filepath.Join("/proc", fmt.Sprint(pids[0]), "fd/1"))
	return err == nil && out == os.DevNull
}

// pause stops processes and waits until they stand.
func (w *world) pause(pids ...int) {
	w.t.Helper()
	w.signal(syscall.SIGSTOP, pids...)
	for _, pid := range pids {
		w.until("it is stopped", func() bool {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err == nil && bytes.Contains(b, []byte(") T "))
		})
	}
}

// fullPipe is a pipe that takes nothing until somebody reads from it.
func fullPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	n, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize())
	must(t, err)
	_, err = w.Write(bytes.Repeat([]byte{'.'}, n))
	must(t, err)
	return r, w
}

// drain reads what a process says until its end.
func drain(r io.Reader) (said <-chan string) {
	out := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(r)
		out <- string(b)
	}()
	return out
}

// TestGuardWithoutWatchdogs kills both while the command runs: its parent starts another one.
func TestGuardWithoutWatchdogs(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	cmd, _ := w.guardCommand("--for", "4s", "--", "sh", "-c", "nft -f lock.nft; echo $$ >pid; exec sleep 60")
	must(t, w.server.Start(cmd))
	w.until("the command runs", func() bool { return w.pid("pid") != 0 })
	t.Cleanup(func() { syscall.Kill(w.pid("pid"), syscall.SIGKILL); cmd.Process.Kill(); cmd.Wait() })
	w.killWatchdogs()
	w.asBefore(before)
}
