package main

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"moonlatch/engine/control"
)

// The ways in which the timed rollbacks of other tools fail when their processes are
// killed, stopped or hung up on, each of which must not fail here. Those that need no
// process for it are in engine/generation/peers_test.go, and those of rules that are
// not ours in guard_test.go.

// TestFireholSIGKILLLosesTheTimer: firehol, ferm, shorewall and iptables-apply hold the
// timer in a process, and it dies with it.
func TestFireholSIGKILLLosesTheTimer(t *testing.T) {
	w := confirmed(t, goodPolicy)
	old, err := dial(w.client, ssh, generous)
	must(t, err)
	defer old.Close()
	began := time.Now()
	w.ok("apply", "--confirm", "2s", w.policy("lockout.lua", lockOut))
	deadline := time.Now().Add(2 * time.Second)
	w.kill()
	if reaches(w.client, ssh) && time.Since(began) < 2*time.Second {
		t.Fatal("the policy locks nobody out")
	}
	w.backInTime(deadline)
	if err := echo(old, generous); err != nil { // TCP repeats in growing intervals
		t.Errorf("the connection from before the lock-out: %v", err)
	}
	if s := w.status(); s.State != "confirmed" {
		t.Errorf("state %q, want confirmed", s.State)
	}
}

// TestRpcdStoppedLosesTheTimer: OpenWrt's rpcd holds the timer, too, and one that hangs does
// nothing. The kernel does, and a daemon that was stopped finds its way back.
func TestRpcdStoppedLosesTheTimer(t *testing.T) {
	w := confirmed(t, goodPolicy)
	w.ok("apply", "--confirm", "2s", w.policy("lockout.lua", lockOut))
	deadline := time.Now().Add(2 * time.Second)
	must(t, w.daemon.Process.Signal(syscall.SIGSTOP))
	w.backInTime(deadline)
	must(t, w.daemon.Process.Signal(syscall.SIGCONT))
	w.until("the daemon clears away the trial", func() bool {
		s := w.status()
		return s.Note == "" && s.Trial == nil && s.Daemon.Policy == "good.lua"
	})
}

// TestIptablesApplyHangUpLosesTheRollback takes the terminal away from an apply that waits,
// which is what a lock-out does to whoever caused it: iptables-apply, ferm and netplan
// then roll back nothing.
func TestIptablesApplyHangUpLosesTheRollback(t *testing.T) {
	w := confirmed(t, goodPolicy)
	const trial = unhurriedTrial
	began := time.Now()
	cmd, _, _ := w.waiting(trial, w.policy("lockout.lua", lockOut))
	deadline := time.Now().Add(trial)
	w.kill()
	must(t, cmd.Process.Kill()) // of script, whose end is the terminal's
	if reaches(w.client, ssh) && time.Since(began) < trial {
		t.Fatal("the policy locks nobody out")
	}
	w.backInTime(deadline)
	if s := w.status(); s.State != control.Filtering || s.Confirmed.Number != 1 {
		t.Errorf("in force: %+v", s)
	}
}

// TestFoomuuriKilledWhileItWaits ends the command itself in every way, as its shell, a
// broken connection or the machine's memory may; until the deadline nothing changes.
func TestFoomuuriKilledWhileItWaits(t *testing.T) {
	w := confirmed(t, goodPolicy)
	const trial = 7 * time.Second
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGHUP, syscall.SIGTERM} {
		cmd := w.command("apply", "--wait", "--confirm", trial.String(), w.policy("lockout.lua", lockOut))
		out := &lockedBuffer{}
		cmd.Stdout, cmd.Stderr = out, out
		began := time.Now()
		must(t, w.server.Start(cmd))
		w.until("the countdown runs", func() bool { return strings.Contains(out.String(), "left") })
		deadline := time.Now().Add(trial)
		must(t, cmd.Process.Signal(signal))
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code == exitOK {
			t.Errorf("%s: exit code %d", signal, code)
		}
		if reaches(w.client, ssh) && time.Since(began) < trial {
			t.Errorf("%s ended the trial", signal)
		}
		w.backInTime(deadline)
	}
}

// TestOwnerTableVanishesWithItsProcess: tables with an owner are gone, and the machine
// open, when the daemon is killed. A confirmed generation outlives every process.
func TestOwnerTableVanishesWithItsProcess(t *testing.T) {
	w := confirmed(t, strings.ReplaceAll(goodPolicy, "443", "444"))
	before := w.generationListed("moonlatch_1")
	w.kill()
	if after := w.generationListed("moonlatch_1"); after != before || after == "" {
		t.Errorf("with the daemon dead:\n%s\nbefore:\n%s", after, before)
	}
	if reaches(w.client, net.JoinHostPort(serverForClient, "443")) {
		t.Error("with the daemon dead, everything passes")
	}
	if !reachesWithin(w.client, ssh, generous) {
		t.Error("with the daemon dead, nothing passes")
	}
}
