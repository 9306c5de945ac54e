package main

import (
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"moonlatch/engine/netns/netnstest"
)

// shut is a policy that lets the client in and nobody else, beside rules of others that let nobody in.
const shut = `local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "client", src = "` + client4 + `", fw.accept }`

// TestResetAllOpensBesideADaemon opens a machine whose daemon heals what others take away.
func TestResetAllOpensBesideADaemon(t *testing.T) {
	netnstest.Kernel(t)
	w := newWorld(t)
	w.start()
	w.ok("apply", w.policy("shut.lua", shut))
	w.ok("confirm")
	w.ok("ban", attacker4, "--for", "1h")
	w.nft("table inet others { chain input { type filter hook input priority 0; policy drop; }; }")
	if reaches(w.client, serverForClient+":22") || reaches(w.attacker, serverForAttacker+":22") {
		t.Fatal("the rules of others do not filter")
	}
	out := w.ok("reset", "--all")
	if !strings.Contains(out, "nothing filters, every packet passes") || !strings.Contains(out, "1 generation and 1 ban") {
		t.Errorf("got\n%s", out)
	}
	for range 3 {
		if !reachesWithin(w.attacker, serverForAttacker+":22", generous) || !reachesWithin(w.client, serverForClient+":443", generous) {
			t.Error("the machine is not open")
		}
		time.Sleep(300 * time.Millisecond) // the daemon has had its chance to heal
	}
	w.ok("reset", "--undo")
	if reaches(w.attacker, serverForAttacker+":22") {
		t.Error("undone, the rules of others do not filter")
	}
	w.nft("delete table inet others")
	if !reachesWithin(w.client, serverForClient+":22", generous) || reaches(w.attacker, serverForAttacker+":22") {
		t.Error("undone, the policy is not in force")
	}
	w.nobodysDrift()
}

// TestResetOnGuard has a guard undo a reset, beside a daemon that heals what others change.
func TestResetOnGuard(t *testing.T) {
	w := confirmed(t, shut)
	t.Cleanup(func() { w.signal(syscall.SIGKILL, w.watchdogs()...) })
	w.ok("ban", attacker4, "--for", "1h")
	before := w.listing()
	if out, code := w.guard("--for", "3s", "--", "sh", "-c", w.commandLine("reset")); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	w.asBefore(before)
	if reaches(w.attacker, serverForAttacker+":22") {
		t.Error("the policy is not in force again")
	}
	w.nobodysDrift()
}

// nobodysDrift fails the test if what is in force is taken for somebody else's doing.
func (w *world) nobodysDrift() {
	w.t.Helper()
	w.until("the daemon runs the policy again", func() bool { return strings.Contains(w.logged(), "policy running") })
	if s := w.status(); s.State != "confirmed" || s.Note != "" {
		w.t.Errorf("status: %+v", s)
	}
	if log := w.logged(); regexp.MustCompile(`drift="[^"]`).MatchString(log) {
		w.t.Errorf("log:\n%s", log)
	}
}

// TestResetAllDoesNotWaitForAHungDaemon opens a machine whose daemon answers nothing.
func TestResetAllDoesNotWaitForAHungDaemon(t *testing.T) {
	netnstest.Kernel(t)
	w := newWorld(t)
	w.start()
	w.ok("apply", w.policy("shut.lua", shut))
	w.ok("confirm")
	must(t, w.daemon.Process.Signal(syscall.SIGSTOP))
	start := time.Now()
	out := w.ok("reset", "--all")
	if took := time.Since(start); took > resetPatience+generous {
		t.Errorf("it took %v", took)
	}
	if !strings.Contains(out, "done in the kernel directly") || !strings.Contains(out, "nothing filters, every packet passes") {
		t.Errorf("got\n%s", out)
	}
	if !reachesWithin(w.attacker, serverForAttacker+":22", generous) {
		t.Error("the machine is not open")
	}
}

// nft has the real nft change the server's rules.
func (w *world) nft(text string) {
	w.t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	must(w.t, w.server.Start(cmd))
	if err := cmd.Wait(); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
}
