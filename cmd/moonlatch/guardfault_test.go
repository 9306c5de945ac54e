package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/guard"
)

// TestGuardedCommandThatHangs is left alone, and undone all the same.
func TestGuardedCommandThatHangs(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	cmd, out := w.guardCommand("--for", window, "--", "sh", "-c", "nft -f lock.nft; echo $$ >pid; exec sleep 60")
	must(t, w.server.Start(cmd))
	w.until("the command runs", func() bool { return w.pid("pid") != 0 })
	w.lockedOut()
	w.asBefore(before)
	w.until("the guard says so", func() bool { return strings.Contains(out.String(), "still runs, and is left alone") })
	must(t, syscall.Kill(w.pid("pid"), syscall.SIGKILL))
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+9 {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// TestGuardInterrupted types ^C at a command that hangs: what it did is undone at once.
func TestGuardInterrupted(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	cmd, out := w.guardCommand("--for", "1h", "--", "sh", "-c", "nft -f lock.nft; echo $$ >pid; exec sleep 60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, w.server.Start(cmd))
	w.until("the command runs", func() bool { return w.pid("pid") != 0 })
	must(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+2 || !strings.Contains(out.String(), "the rules of before are back") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	w.asBefore(before)
}

// TestIptablesApplyHangUpDeletesTheBackup: the terminal of a real session goes
// away under the command, as that of a locked out ssh session does.
func TestIptablesApplyHangUpDeletesTheBackup(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	cmd, _ := w.guardCommand("--for", window, "--", "sh", "-c", "nft -f lock.nft; echo $$ >pid; exec sleep 60")
	hangUp := onTerminal(t, cmd)
	must(t, w.server.Start(cmd))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	w.until("the command runs", func() bool { return w.pid("pid") != 0 })
	w.lockedOut()
	hangUp()
	select {
	case <-ended:
	case <-time.After(generous):
		t.Fatal("the session does not end with its terminal")
	}
	w.until("the command is gone", func() bool { return syscall.Kill(w.pid("pid"), 0) != nil })
	w.asBefore(before)
}

// onTerminal gives a command a session and a terminal of its own, which hangUp takes away.
func onTerminal(t *testing.T, cmd *exec.Cmd) (hangUp func()) {
	t.Helper()
	master, terminal := terminalFor(t, cmd)
	return func() { terminal.Close(); master.Close() }
}

// terminalFor gives a command a session and a terminal of its own.
func terminalFor(t *testing.T, cmd *exec.Cmd) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { terminal.Close(); master.Close() })
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return master, terminal
}

// TestFermSIGKILLLosesTheTimer kills, one at a time and all together, whatever a
// guard consists of.
func TestFermSIGKILLLosesTheTimer(t *testing.T) {
	for name, victims := range map[string]func(parent int, watchdogs []int) []int{
		"parent":             func(parent int, _ []int) []int { return []int{parent} },
		"parent and session": func(parent int, _ []int) []int { return []int{-parent} },
		"watchdog":           func(_ int, watchdogs []int) []int { return watchdogs[:1] },
		"standby":            func(_ int, watchdogs []int) []int { return watchdogs[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			w := guardedWorld(t)
			before := w.listing()
			cmd, _ := w.guardCommand("--for", window, "--", "sh", "-c", "nft -f lock.nft; echo $$ >pid; exec sleep 60")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			must(t, w.server.Start(cmd))
			w.until("the command runs", func() bool { return w.pid("pid") != 0 })
			t.Cleanup(func() { syscall.Kill(w.pid("pid"), syscall.SIGKILL); cmd.Process.Kill(); cmd.Wait() })
			pids := w.watchdogs()
			if len(pids) != 2 {
				t.Fatalf("watchdogs: %v", pids)
			}
			w.signal(syscall.SIGKILL, victims(cmd.Process.Pid, pids)...)
			w.lockedOut()
			w.asBefore(before)
		})
	}
}

// TestAwallParentStopped stops the command and its parent: nobody needs them.
func TestAwallParentStopped(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	cmd, _ := w.guardCommand("--for", window, "--", "sh", "-c", "nft -f lock.nft; echo $$ >pid; exec sleep 60")
	must(t, w.server.Start(cmd))
	w.until("the command runs", func() bool { return w.pid("pid") != 0 })
	w.signal(syscall.SIGSTOP, cmd.Process.Pid, w.pid("pid"))
	t.Cleanup(func() { w.signal(syscall.SIGKILL, cmd.Process.Pid, w.pid("pid")); cmd.Wait() })
	w.asBefore(before)
}

// TestEverythingKilled leaves no process: the next command of any kind finishes the job.
func TestEverythingKilled(t *testing.T) {
	for _, late := range []bool{true, false} {
		t.Run(fmt.Sprintf("late %v", late), func(t *testing.T) {
			w := guardedWorld(t)
			before := w.listing()
			w.guard("--for", unhurriedTrial.String(), "--", "nft", "-f", "lock.nft")
			w.killWatchdogs()
			o, err := guard.At(w.file("state"), guardWatch).Pending()
			must(t, err) // otherwise the machine is too slow for this test
			for left := time.Second; late && left > 0; time.Sleep(50 * time.Millisecond) {
				left, err = o.Left()
				must(t, err)
			}
			w.lockedOut()
			w.ok("bans")
			w.until("the rules are back", func() bool { return reaches(w.client, ssh) })
			w.sh("nft delete table inet moonlatch 2>/dev/null || true") // the command made it
			w.asBefore(before)
		})
	}
}

// TestRebootInsideTheWindow: the kernel's rules are gone with the boot, so the
// guard is dropped, and says so.
func TestRebootInsideTheWindow(t *testing.T) {
	w := guardedWorld(t)
	w.guard("--for", "1h", "--", "nft", "-f", "lock.nft")
	w.killWatchdogs()
	w.otherBoot("guard")
	w.sh("nft -f before.nft; nft delete table inet mistake") // what the boot loads
	before := w.listing()
	_, errs, _ := w.run("restore")
	if !strings.Contains(errs, "rebooted before the guard") {
		t.Errorf("restore says: %s", errs)
	}
	if out := w.ok("status"); !strings.Contains(out, "rebooted before the guard") {
		t.Errorf("status says:\n%s", out)
	}
	w.sh("nft delete table inet moonlatch")
	w.asBefore(before)
}
