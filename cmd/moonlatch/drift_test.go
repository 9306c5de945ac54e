package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// somebody has another program change the server's rules.
func (w *world) somebody(nft ...string) {
	w.t.Helper()
	cmd := exec.Command("nft", nft...)
	must(w.t, w.server.Start(cmd))
	must(w.t, cmd.Wait())
}

func (w *world) logged() string {
	w.t.Helper()
	log, err := os.ReadFile(filepath.Join(w.dir, "log"))
	must(w.t, err)
	return string(log)
}

// generationListed is what nft lists of the generation's inet table.
func (w *world) generationListed(table string) string {
	cmd := exec.Command("nft", "-s", "list", "table", "inet", table)
	var out strings.Builder
	cmd.Stdout = &out
	if w.server.Start(cmd) != nil || cmd.Wait() != nil {
		return ""
	}
	return out.String()
}

// TestDriftIsHealed has somebody flush everything, delete a rule and edit a chain's
// policy: the generation is back, with its bans, and the policy goes on as it was.
func TestDriftIsHealed(t *testing.T) {
	w := confirmed(t, goodPolicy)
	w.ok("ban", attacker4)
	before := w.generationListed("moonlatch_1")
	for n, edit := range []string{"flush ruleset", "flush chain inet moonlatch_1 input", "chain inet moonlatch_1 input { policy accept; }"} {
		w.somebody(edit)
		w.until("the generation is back after: "+edit, func() bool {
			return w.generationListed("moonlatch_1") == before && strings.Count(w.logged(), "they are put back") == n+1
		})
	}
	if b := w.bans()[attacker4]; b.By != "manual" {
		t.Errorf("the ban is not back: %+v", b)
	}
	if s := w.status(); s.State != "confirmed" || s.Note != "" {
		t.Errorf("status: %+v", s)
	}
	if log := w.logged(); strings.Count(log, "policy running") > 1 || !strings.Contains(log, "process=nft") || !strings.Contains(log, "run moonlatch reset") {
		t.Errorf("log:\n%s", log)
	}
}

// TestDriftOfATrialIsHealed has somebody flush everything during a lock-out: what is
// put back ends no later.
func TestDriftOfATrialIsHealed(t *testing.T) {
	w := confirmed(t, goodPolicy)
	w.ok("apply", "--confirm", unhurriedTrial.String(), w.policy("lockout.lua", lockOut))
	deadline := time.Now().Add(unhurriedTrial)
	w.somebody("flush ruleset")
	w.until("the trial is back", func() bool { return strings.Contains(w.logged(), "they are put back") })
	if s := w.status(); s.State != "trial" && time.Now().Before(deadline) {
		t.Errorf("status: %+v", s)
	}
	w.kill()
	w.backInTime(deadline)
	if s := w.status(); s.State != "confirmed" {
		t.Errorf("after the deadline: %+v", s)
	}
}

// TestDriftIsReported leaves what the policy wants left, and says so until somebody
// puts it right.
func TestDriftIsReported(t *testing.T) {
	w := confirmed(t, goodPolicy+`fw.watchdog { drift = "report" }`)
	w.somebody("insert rule inet moonlatch_1 input tcp dport 23 accept")
	w.until("the status tells", func() bool { return strings.Contains(w.status().Note, "somebody else has changed the rules") })
	if !strings.Contains(w.generationListed("moonlatch_1"), "tcp dport 23") {
		t.Error("the rule was taken away")
	}
	w.ok("apply", w.policy("good.lua", goodPolicy))
	w.ok("confirm")
	w.until("the status tells no more", func() bool { return w.status().Note == "" })
	if n := strings.Count(w.logged(), "the policy wants it left so"); n != 1 {
		t.Errorf("reported %d times, want once:\n%s", n, w.logged())
	}
}

// TestDriftIsNotFought has somebody who insists.
func TestDriftIsNotFought(t *testing.T) {
	w := confirmed(t, goodPolicy)
	stop := time.Now().Add(2 * generous)
	for !strings.Contains(w.logged(), "they are not put back any more") {
		if time.Now().After(stop) {
			t.Fatalf("still fighting:\n%s", w.logged())
		}
		if strings.Contains(w.generationListed("moonlatch_1"), "policy drop") {
			w.somebody("chain inet moonlatch_1 input { policy accept; }")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n := strings.Count(w.logged(), "they are put back;"); n != 5 {
		t.Errorf("put back %d times", n)
	}
	if !strings.Contains(w.status().Note, "somebody else has changed the rules") {
		t.Errorf("status: %+v", w.status())
	}
}

// TestDriftIsNotWhatMoonlatchDoes has commands that do not find the daemon do everything:
// none of it is put back.
func TestDriftIsNotWhatMoonlatchDoes(t *testing.T) {
	w := confirmed(t, goodPolicy)
	alone := func(args ...string) {
		w.ok(append([]string{"--socket", filepath.Join(w.dir, "nowhere.sock")}, args...)...)
	}
	other := w.policy("other.lua", goodPolicy+`fw.chain "more" {}`)
	alone("apply", other)
	alone("rollback")
	alone("apply", other)
	alone("confirm")
	alone("ban", attacker4)
	alone("unban", attacker4)
	w.until("the daemon follows", func() bool { return w.status().Daemon.Policy == "other.lua" })
	alone("reset")
	w.until("the daemon follows the reset", func() bool { s := w.status(); return s.State == "open" && s.Daemon.Policy == "" })
	time.Sleep(time.Second) // for what must not happen
	if s := w.status(); s.State != "open" || strings.Contains(s.Note, "somebody") {
		t.Errorf("after the reset: %+v", s)
	}
	if log := w.logged(); strings.Contains(log, "somebody") {
		t.Errorf("log:\n%s", log)
	}
	alone("restore")
	w.until("the daemon follows the restore", func() bool { return w.status().State == "confirmed" })
}

// TestDriftWhileNoDaemonRan is found by the next one.
func TestDriftWhileNoDaemonRan(t *testing.T) {
	w := confirmed(t, goodPolicy)
	before := w.generationListed("moonlatch_1")
	w.kill()
	w.somebody("insert rule inet moonlatch_1 input accept")
	w.start()
	w.until("the rule is gone", func() bool { return w.generationListed("moonlatch_1") == before })
}
