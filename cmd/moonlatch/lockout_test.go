package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	generations "moonlatch/engine/generation"
	"moonlatch/engine/nft"
)

// goodPolicy lets everybody in and bans nobody.
const goodPolicy = `
local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "replies", ct = "established", fw.accept }
input { "ssh", tcp = { 22, 443 }, fw.accept }
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert" }, fw.accept }
`

// lockOut drops everything.
const lockOut = `
local fw = require "moonlatch"
fw.chain "input" { hook = "input", policy = "drop" }
fw.chain "output" { hook = "output", policy = "drop" }
`

// unhurriedTrial is a trial that is to end while a test looks, and not before a busy machine has done what comes first.
const unhurriedTrial = 10 * time.Second

var ssh = net.JoinHostPort(serverForClient, "22")

// confirmed starts a daemon with a confirmed policy.
func confirmed(t *testing.T, policy string) *world {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.ok("apply", w.policy("good.lua", policy))
	w.ok("confirm")
	return w
}

// backInTime waits until the client is back after a trial's deadline.
func (w *world) backInTime(deadline time.Time) {
	w.t.Helper()
	for !reaches(w.client, ssh) {
		if time.Since(deadline) > generous {
			w.t.Fatalf("still locked out %s after the deadline", generous)
		}
	}
}

// banPolicy bans whoever touches port 9999, by a handler, and lets in the rest.
const banPolicy = `
local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input", policy = "accept" }
local touched = fw.stream "touched"
input { "touched", tcp = { 9999, 9998 }, touched, fw.drop }
fw.on(touched, { tcp = 9999 }, function(ev)
  fw.ban(ev.src, "1h", "touched " .. ev.dport .. " with ttl " .. ev.ttl)
end)
`

// TestBanOfATrialEndsWithIt has a policy on trial ban its owner.
func TestBanOfATrialEndsWithIt(t *testing.T) {
	w := confirmed(t, goodPolicy)
	w.ok("apply", "--confirm", unhurriedTrial.String(), w.policy("ban.lua", banPolicy))
	deadline := time.Now().Add(unhurriedTrial)
	w.touch()
	w.until("the client is banned", func() bool { return !reaches(w.client, ssh) })
	w.kill()
	w.backInTime(deadline)
	if b := w.bans(); len(b) != 0 {
		t.Errorf("bans after the trial: %v", b)
	}
}

// TestBanOfATrialLastsWhenConfirmed extends it to what the policy wanted.
func TestBanOfATrialLastsWhenConfirmed(t *testing.T) {
	w := confirmed(t, goodPolicy)
	w.ok("apply", "--confirm", "5m", w.policy("ban.lua", banPolicy))
	w.touch()
	w.until("the client is banned", func() bool { return len(w.bans()) == 1 })
	if left := time.Until(w.bans()[client4].Until); left > 5*time.Minute {
		t.Errorf("during the trial the ban has %s left, more than the trial", left)
	}
	w.ok("confirm")
	ban := w.bans()[client4]
	if left := time.Until(ban.Until); left < 59*time.Minute {
		t.Errorf("after the confirm the ban has %s left, want an hour", left)
	}
	if !strings.HasPrefix(ban.Why, "touched 9999 with ttl ") || ban.Origin != "local" {
		t.Errorf("ban: %+v", ban)
	}
}

// TestRollbackLiftsTheTrialsBans lifts them at once, and resumes the old policy.
func TestRollbackLiftsTheTrialsBans(t *testing.T) {
	w := confirmed(t, goodPolicy)
	w.ok("apply", w.policy("ban.lua", banPolicy))
	w.touch()
	w.until("the client is banned", func() bool { return len(w.bans()) == 1 })
	w.ok("rollback")
	if !reachesWithin(w.client, ssh, generous) {
		t.Error("the client is locked out after the roll back")
	}
	if s := w.status(); s.Daemon.Policy != "good.lua" {
		t.Errorf("the daemon runs %q", s.Daemon.Policy)
	}
}

// touch sends a SYN to the port that gets one banned.
func (w *world) touch() {
	w.t.Helper()
	must(w.t, syn(w.client, "", net.JoinHostPort(serverForClient, "9999")))
}

// TestBannedConnectionIsCut bans the source of an established connection.
func TestBannedConnectionIsCut(t *testing.T) {
	w := confirmed(t, goodPolicy)
	for _, addr := range []string{serverForAttacker, serverForAttacker6} {
		c, err := dial(w.attacker, net.JoinHostPort(addr, "22"), generous)
		must(t, err)
		defer c.Close()
		w.ok("ban", map[string]string{serverForAttacker: attacker4, serverForAttacker6: attacker6}[addr])
		if err := echo(c, soon); err == nil {
			t.Errorf("%s: the banned source's connection goes on", addr)
		}
	}
	if !reachesWithin(w.client, ssh, generous) {
		t.Error("the client is cut off, too")
	}
}

// trapPolicy bans at one touch, in the kernel, all but the client.
const trapPolicy = `
local fw = require "moonlatch"
fw.protect { "` + client4 + `" }
local input = fw.chain "input" { hook = "input", policy = "accept" }
input { "telnet", tcp = 23, fw.trap "1h", fw.drop }
`

// TestTrap traps an attacker, whom the daemon then books, and another one with no
// daemon alive; a protected client is never trapped.
func TestTrap(t *testing.T) {
	w := confirmed(t, trapPolicy)
	web4, web6 := net.JoinHostPort(serverForAttacker, "443"), net.JoinHostPort(serverForAttacker6, "443")
	must(t, syn(w.attacker, "", net.JoinHostPort(serverForAttacker, "23")))
	if reaches(w.attacker, web4) {
		t.Error("the trapped attacker still gets in")
	}
	w.until("the daemon books the ban", func() bool { return w.bans()[attacker4].By == "trap" })
	w.kill()
	reaches(w.attacker, net.JoinHostPort(serverForAttacker6, "23"))
	if reaches(w.attacker, web6) {
		t.Error("with the daemon dead, the trapped attacker still gets in")
	}
	reaches(w.client, net.JoinHostPort(serverForClient, "23"))
	if !reachesWithin(w.client, ssh, generous) {
		t.Error("the protected client was trapped")
	}
	w.ok("unban", attacker4)
	if !reachesWithin(w.attacker, web4, generous) {
		t.Error("the unbanned attacker is still in the trap")
	}
}

// TestFlushedBansComeBack has somebody flush the whole ruleset, of which the policy
// wants nothing put back but the bans.
func TestFlushedBansComeBack(t *testing.T) {
	w := confirmed(t, goodPolicy+`fw.watchdog { drift = "report" }`)
	w.ok("ban", attacker4)
	flush := exec.Command("nft", "flush", "ruleset")
	must(t, w.server.Start(flush))
	must(t, flush.Wait())
	w.until("the ban is back", func() bool { return w.bans()[attacker4].By == "manual" })
	if reaches(w.attacker, net.JoinHostPort(serverForAttacker, "22")) {
		t.Error("the banned attacker gets in")
	}
	w.until("the status says that nothing is in force", func() bool { return w.status().State == "open" })
	w.until("the log says who it was", func() bool { return strings.Contains(w.logged(), "process=nft") })
}

// TestFlushedBansComeBackLate has nft fail when the bans are to be put back: they come
// as soon as it works, without anybody changing anything once more.
func TestFlushedBansComeBackLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nft, err := exec.LookPath("nft")
	must(t, err)
	broken, bin := filepath.Join(w.dir, "broken"), filepath.Join(w.dir, "bin")
	must(t, os.Mkdir(bin, 0o700))
	must(t, os.WriteFile(filepath.Join(bin, "nft"), fmt.Appendf(nil, "#!/bin/sh\n[ ! -e %q ] && exec %q \"$@\"\nexit 1\n", broken, nft), 0o700))
	w.path = bin + ":" + os.Getenv("PATH")
	w.start()
	w.ok("ban", attacker4)
	must(t, os.WriteFile(broken, nil, 0o600))
	w.somebody("flush", "ruleset")
	w.until("the log tells", func() bool { return strings.Contains(w.logged(), "cannot be put back yet") })
	must(t, os.Remove(broken))
	w.until("the attacker is shut out again", func() bool { return !reaches(w.attacker, net.JoinHostPort(serverForAttacker, "22")) })
}

// TestDaemonFollowsOthers has a command that does not find the daemon confirm its trial.
func TestDaemonFollowsOthers(t *testing.T) {
	w := confirmed(t, goodPolicy)
	w.ok("apply", "--confirm", "5m", w.policy("ban.lua", banPolicy))
	w.touch()
	w.until("the client is banned", func() bool { return len(w.bans()) == 1 })
	w.ok("--socket", filepath.Join(w.dir, "nowhere.sock"), "confirm")
	w.until("the daemon extends the trial's ban", func() bool {
		return time.Until(w.bans()[client4].Until) > 50*time.Minute
	})
}

// TestDaemonFollowsAnExtension has another process extend a trial: the bans of its
// policy last as much longer, and end with it.
func TestDaemonFollowsAnExtension(t *testing.T) {
	w := confirmed(t, goodPolicy)
	w.ok("apply", "--confirm", "5m", w.policy("ban.lua", banPolicy))
	w.touch()
	w.until("the client is banned", func() bool { return len(w.bans()) == 1 })
	must(t, w.server.Do(func() error {
		c, err := nft.Open(nft.Config{})
		must(t, err)
		defer c.Close()
		m, err := generations.Open(generations.Config{NFT: c, Dir: filepath.Join(w.dir, "state")})
		must(t, err)
		_, _, err = m.Extend(t.Context(), 10*time.Minute)
		return err
	}))
	w.until("the ban lasts longer", func() bool {
		left := time.Until(w.bans()[client4].Until)
		return left > 9*time.Minute && left < 16*time.Minute
	})
	w.ok("rollback")
	if b := w.bans(); len(b) != 0 {
		t.Errorf("bans after the trial: %v", b)
	}
}

// TestSnaplen gives a handler more of a packet than the default.
func TestSnaplen(t *testing.T) {
	w := confirmed(t, `
local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input", policy = "accept" }
local long = fw.stream "long" { snaplen = 600 }
input { "long", udp = 5353, long, fw.drop }
fw.on(long, function(ev) fw.ban(ev.src, "1h", #ev.payload .. " bytes, the last is " .. ev.payload:sub(-1)) end)
`)
	must(t, w.client.Do(func() error {
		c, err := net.Dial("udp", net.JoinHostPort(serverForClient, "5353"))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte(strings.Repeat("x", 499) + "y"))
		return err
	}))
	w.until("the handler sees the whole packet", func() bool {
		return w.bans()[client4].Why == "500 bytes, the last is y"
	})
}
