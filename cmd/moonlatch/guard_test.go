package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// window is the time of a guard that is to end while a test looks: what a command does later than that is not undone.
const window = "6s"

// TestGuardUndoesWhatNobodyConfirmed ruins the rules with each tool that people
// use, and lets the time run out.
func TestGuardUndoesWhatNobodyConfirmed(t *testing.T) {
	for name, command := range map[string]string{
		"nft -f":                  "nft -f lock.nft",
		"nft flush and policy":    "nft flush ruleset; nft add table ip x; nft add chain ip x y '{ type filter hook input priority 0; policy drop; }'",
		"iptables-nft-restore":    "iptables-restore < lock.rules",
		"iptables-legacy-restore": "iptables-legacy-restore < lock.rules && ip6tables-legacy-restore < lock.rules",
		"iptables -P":             "iptables -P INPUT DROP; iptables -P OUTPUT DROP",
		"ipset":                   "ipset create all hash:net && ipset add all 0.0.0.0/1 && ipset add all 128.0.0.0/1 && iptables-legacy -I INPUT -m set --match-set all src -j DROP",
	} {
		t.Run(name, func(t *testing.T) {
			w := guardedWorld(t)
			before := w.listing()
			out, code := w.guard("--for", window, "--", "sh", "-c", command)
			if code != 0 || !strings.Contains(out, "moonlatch confirm") {
				t.Fatalf("exit code %d\n%s", code, out)
			}
			w.lockedOut()
			w.asBefore(before)
			if out := w.ok("status"); !strings.Contains(out, "ended without a confirm") {
				t.Errorf("status does not tell:\n%s", out)
			}
		})
	}
}

// TestGuardOverUFW has ufw take the machine over. Its files are private copies.
func TestGuardOverUFW(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	w.sh("cp -a /etc/ufw ufw && cp -a /etc/default default")
	cmd, out := w.guardCommand("--for", "1h", "--", "ufw", "--force", "enable")
	inner := append([]string{"-m", "--propagation", "private", "sh", "-c",
		`mount --bind ufw /etc/ufw && mount --bind default /etc/default && mount -t tmpfs none /run && mkdir /run/lock && exec "$@"`, "sh"}, cmd.Args...)
	private := exec.Command("unshare", inner...)
	private.Args[len(private.Args)-len(cmd.Args)] = mustExecutable(t)
	private.Dir, private.Env = w.dir, append(cmd.Env, "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	private.Stdout, private.Stderr = out, out
	must(t, w.server.Start(private))
	if err := private.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out.String(), "Firewall is active") {
		t.Fatalf("ufw is not enabled:\n%s", out)
	}
	w.lockedOut()
	w.run("rollback") // it takes its time on a busy machine, so no deadline ends it
	w.asBefore(before)
}

func mustExecutable(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	return self
}

// TestGuardedCommandThatFails flushes everything and exits 1: it is undone at once,
// and its exit code is the guard's.
func TestGuardedCommandThatFails(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	out, code := w.guard("--for", "1h", "--", "sh", "-c", "nft -f lock.nft; iptables-legacy -F; exit 3")
	if code != 3 || !strings.Contains(out, "the rules of before are back") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	w.asBefore(before)
	if pids := w.watchdogs(); len(pids) != 0 {
		w.until("the watchdog ends", func() bool { return len(w.watchdogs()) == 0 })
	}
	_, code = w.guard("--for", "1h", "--", "sh", "-c", "kill -9 $$")
	if code != 128+9 {
		t.Errorf("exit code %d of a command that was killed", code)
	}
}

// TestConfirmedGuardStays confirms: what the command did stays, and no process is left.
func TestConfirmedGuardStays(t *testing.T) {
	w := guardedWorld(t)
	w.guard("--for", "10s", "--", "nft", "add", "table", "inet", "added")
	end := time.Now().Add(10 * time.Second)
	var doc struct{ Guard struct{ What string } }
	must(t, json.Unmarshal([]byte(w.ok("confirm", "-o", "json")), &doc))
	if doc.Guard.What != "nft add table inet added" {
		t.Errorf("confirmed %q", doc.Guard.What)
	}
	w.until("the watchdog ends", func() bool { return len(w.watchdogs()) == 0 })
	time.Sleep(time.Until(end))
	if now := w.listing(); !strings.Contains(now, "table inet added") {
		t.Errorf("it was undone although it was confirmed:\n%s", now)
	}
	if _, errs, code := w.run("confirm"); code != 1 || !strings.Contains(errs, "no guard is armed") {
		t.Errorf("a second confirm: exit code %d: %s", code, errs)
	}
}

// TestConfirmTooLate comes after the deadline: it says so, and its exit code is
// that of a roll back.
func TestConfirmTooLate(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	w.guard("--for", window, "--", "nft", "-f", "lock.nft")
	w.asBefore(before)
	if _, errs, code := w.run("confirm"); code != 7 || !strings.Contains(errs, "the rules of before are back") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestRollbackOfAGuard does not wait for the deadline.
func TestRollbackOfAGuard(t *testing.T) {
	w := guardedWorld(t)
	before := w.listing()
	w.guard("--for", "1h", "--", "nft", "-f", "lock.nft")
	_, errs, code := w.run("rollback")
	if code != 0 || !strings.Contains(errs, "the rules of before are back") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	w.asBefore(before)
}

// TestGuardLeavesOursAlone: a ban that is made in a guard's window outlives its end.
func TestGuardLeavesOursAlone(t *testing.T) {
	w := confirmed(t, goodPolicy)
	t.Cleanup(func() { w.signal(syscall.SIGKILL, w.watchdogs()...) })
	w.ok("ban", attacker4, "--for", "1h")
	w.guard("--for", window, "--", "nft", "add", "table", "inet", "added")
	w.ok("ban", attacker6, "--for", "1h")
	w.until("the guard's end", func() bool { return !strings.Contains(w.sh("nft list tables"), "added") })
	time.Sleep(200 * time.Millisecond)
	if b := w.bans(); len(b) != 2 {
		t.Errorf("bans: %v", b)
	}
	if s := w.status(); s.State != "confirmed" || s.Confirmed.Number != 1 {
		t.Errorf("status: %+v", s)
	}
	if log, _ := os.ReadFile(w.file("log")); bytes.Contains(log, []byte("somebody")) {
		t.Errorf("the daemon saw its tables change:\n%s", log)
	}
}

// TestGuardBringsOursBack: with no daemon, what the command flushed of ours comes
// back, bans included.
func TestGuardBringsOursBack(t *testing.T) {
	w := guardedWorld(t)
	w.ok("apply", w.policy("good.lua", goodPolicy))
	w.ok("confirm")
	w.ok("ban", attacker4, "--for", "1h")
	before := w.listing()
	w.guard("--for", window, "--", "nft", "-f", "lock.nft")
	w.lockedOut()
	w.asBefore(before)
	if b := w.bans(); len(b) != 1 {
		t.Errorf("bans: %v", b)
	}
}
