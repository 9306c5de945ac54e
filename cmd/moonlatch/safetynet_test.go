package main

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"moonlatch/engine/guard"
)

// tick is longer than the shortest time between two resets.
const tick = shortestNet + generous

// opensAtTick waits until the client gets in, at the latest after the next tick.
func (w *world) opensAtTick() {
	w.t.Helper()
	for deadline := time.Now().Add(tick); !reaches(w.client, ssh); {
		if time.Now().After(deadline) {
			w.t.Fatalf("still locked out\n%s", w.listing())
		}
	}
}

// TestSafetynetOpens locks everybody out, by rules of Moonlatch and of others,
// again and again: at the next tick the machine is open, with a daemon alive.
func TestSafetynetOpens(t *testing.T) {
	w := confirmed(t, goodPolicy)
	t.Cleanup(func() { w.signal(syscall.SIGKILL, w.watchdogs()...) })
	must(t, os.WriteFile(w.file("lock.nft"), []byte(lockOutNFT[strings.Index(lockOutNFT, "table"):]), 0o600))
	if out := w.ok("safetynet", "--every", "10s"); !strings.Contains(out, "resets to fully open every 10s, next in ") {
		t.Errorf("it says: %s", out)
	}
	w.ok("ban", client4)
	w.sh("nft -f lock.nft; iptables-legacy -P INPUT DROP; ip6tables-legacy -P INPUT DROP")
	w.lockedOut()
	w.opensAtTick()
	if s := w.status(); s.State != "open" {
		t.Errorf("state %q after the reset", s.State)
	}
	if out := w.ok("safetynet", "status"); !strings.Contains(out, "the kernel confirms that everything passes") {
		t.Errorf("status says: %s", out)
	}
	w.ok("safetynet", "off")
	if pids := w.watchdogs(); len(pids) > 0 {
		w.until("its processes end", func() bool { return len(w.watchdogs()) == 0 })
	}
	if out := w.ok("safetynet", "status"); !strings.Contains(out, "off") {
		t.Errorf("status says: %s", out)
	}
}

// TestSafetynetBesideAHungDaemon opens the machine though the daemon answers nothing.
func TestSafetynetBesideAHungDaemon(t *testing.T) {
	w := confirmed(t, shut)
	t.Cleanup(func() { w.signal(syscall.SIGKILL, w.watchdogs()...) })
	w.ok("safetynet", "--every", "10s")
	o, err := guard.At(w.file("state"), safetynetWatch).Pending()
	must(t, err)
	w.signal(syscall.SIGSTOP, w.daemon.Process.Pid)
	t.Cleanup(func() { w.signal(syscall.SIGCONT, w.daemon.Process.Pid) })
	first := guard.Order{Start: o.Start, Time: o.Time}
	for !reaches(w.attacker, serverForAttacker+":22") {
		if left, err := first.Left(); err != nil || left < -generous {
			t.Fatalf("still locked out %s after the tick (%v)", -left, err)
		}
	}
}

// TestSafetynetRuleset resets to a ruleset file, which is gone by then, while a
// guard waits: the two get on.
func TestSafetynetRuleset(t *testing.T) {
	for name, file := range map[string]string{
		"before.nft":   beforeRules,
		"before.rules": "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := guardedWorld(t)
			must(t, os.WriteFile(w.file("safe"), []byte(file), 0o600))
			w.ok("safetynet", "--every", "10s", "--ruleset", w.file("safe"))
			must(t, os.Remove(w.file("safe")))
			w.guard("--for", "1h", "--", "nft", "-f", "lock.nft")
			w.lockedOut()
			w.opensAtTick()
			if now := w.listing(); strings.Contains(now, "mistake") || !regexp.MustCompile(`dport (22|\{ 22, 443 \})`).MatchString(now) {
				t.Errorf("after the reset:\n%s", now)
			}
			w.ok("confirm")
			w.ok("safetynet", "off")
		})
	}
}

// TestSafetynetIsRefused before anything changes.
func TestSafetynetIsRefused(t *testing.T) {
	w := guardedWorld(t)
	for name, text := range map[string]string{
		"bad.nft":    "table inet x { chain y { nonsense } }\n",
		"bad.rules":  "*filter\n-A NOSUCHCHAIN -j ACCEPT\nCOMMIT\n",
		"commands":   "iptables -F\n",
		"empty":      "",
		"loadbad":    "table ip x {\n chain y {\n type filter hook input priority 0\n masquerade\n }\n}\n", // which nft -c accepts
		"before.nft": beforeRules,
	} {
		must(t, os.WriteFile(w.file(name), []byte(text), 0o600))
	}
	before := w.listing()
	for _, tt := range []struct {
		want string
		code int
		args []string
	}{
		{"say how often", 2, nil},
		{"resets every 10s to 1d", 2, []string{"--every", "9s"}},
		{"resets every 10s to 1d", 2, []string{"--every", "2d"}},
		{"more than nothing", 2, []string{"--every", "0s"}},
		{"no such file", 1, []string{"--every", "1m", "--ruleset", w.file("missing")}},
		{"bad.nft", 1, []string{"--every", "1m", "--ruleset", w.file("bad.nft")}},
		{"bad.rules", 1, []string{"--every", "1m", "--ruleset", w.file("bad.rules")}},
		{"neither nft", 1, []string{"--every", "1m", "--ruleset", w.file("commands")}},
		{"no rules", 1, []string{"--every", "1m", "--ruleset", w.file("empty")}},
		{"loadbad", 1, []string{"--every", "1m", "--ruleset", w.file("loadbad")}},
		{"no safety net is on", 1, []string{"off"}},
	} {
		out, errs, code := w.run(append([]string{"safetynet"}, tt.args...)...)
		if code != tt.code || !strings.Contains(errs, tt.want) {
			t.Errorf("safetynet %q: exit code %d, want %d with %q: %s%s", tt.args, code, tt.code, tt.want, out, errs)
		}
	}
	if now := w.listing(); now != before || len(w.watchdogs()) > 0 {
		t.Errorf("watchdogs %v; the rules:\n%s\nbefore:\n%s", w.watchdogs(), now, before)
	}
	w.ok("safetynet", "--every", "1h")
	if _, errs, code := w.run("safetynet", "--every", "1m"); code != 1 || !strings.Contains(errs, "is on already") {
		t.Errorf("a second one: exit code %d: %s", code, errs)
	}
}

// TestSafetynetSurvivesAReboot: the boot's restore arms it again.
func TestSafetynetSurvivesAReboot(t *testing.T) {
	w := guardedWorld(t)
	w.ok("safetynet", "--every", "10s")
	w.killWatchdogs()
	w.otherBoot("safetynet")
	w.run("restore") // exits with 1: there is no generation
	if pids := w.watchdogs(); len(pids) != 2 {
		t.Fatalf("watchdogs after the reboot: %v", pids)
	}
	w.sh("nft -f lock.nft")
	w.lockedOut()
	w.opensAtTick()
	w.ok("safetynet", "off")
}

// otherBoot makes a watch's order one of another boot.
func (w *world) otherBoot(watch string) {
	w.t.Helper()
	path := w.file("state/" + watch + "/pending/order.json")
	b, err := os.ReadFile(path)
	must(w.t, err)
	must(w.t, os.WriteFile(path, regexp.MustCompile(`"boot":"[^"]*"`).ReplaceAll(b, []byte(`"boot":"another"`)), 0o600))
}
