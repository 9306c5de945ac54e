package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/control"
)

// loginPolicy lets logins in, and replies to those that are there.
const loginPolicy = `
local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "replies", ct = "established", fw.accept }
input { "login", tcp = { 22, ` + loginPort + ` }, fw.accept }
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert" }, fw.accept }
`

// noNewLogins lets replies to open connections pass, and nobody in: who confirms it
// over the connection they have has locked themselves out.
const noNewLogins = `
local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "replies", ct = "established", fw.accept }
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert" }, fw.accept }
`

// forBothServices runs a test with a daemon, and without one.
func forBothServices(t *testing.T, test func(*testing.T, *world)) {
	for _, daemon := range []string{"daemon", "no daemon"} {
		t.Run(daemon, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if daemon == "daemon" {
				w.start()
			}
			w.serveLogins()
			w.policy("login.lua", loginPolicy)
			w.policy("nonew.lua", noNewLogins)
			test(t, w)
		})
	}
}

// confirm confirms in a session and returns what it says.
func (l *login) confirm(flags string) (c control.Confirmed) {
	l.t.Helper()
	must(l.t, json.Unmarshal([]byte(l.ok("moonlatch confirm -o json "+flags)), &c))
	return c
}

// TestConfirmOverTheSameSession is what every other tool takes for a proof: a
// policy that lets no new connection in is confirmed over the old one.
func TestConfirmOverTheSameSession(t *testing.T) {
	forBothServices(t, func(t *testing.T, w *world) {
		mine := w.login()
		mine.ok("moonlatch apply " + filepath.Join(w.dir, "nonew.lua"))
		out, code := mine.run("moonlatch confirm --new-session")
		if code != exitFailure || !strings.Contains(out, "not confirmed: this session was there before generation 1 was applied") {
			t.Errorf("confirm --new-session over the old connection: exit code %d\n%s", code, out)
		}
		if s := w.status(); s.State != control.Trying {
			t.Fatalf("after the refusal the state is %q", s.State)
		}
		out = mine.ok("moonlatch confirm")
		for _, want := range []string{"generation 1 (nonew.lua) is confirmed", "warning: this session was there before the apply", "confirm --new-session"} {
			if !strings.Contains(out, want) {
				t.Errorf("confirm over the old connection does not say %q:\n%s", want, out)
			}
		}
		w.ok("reset")
		mine.ok("moonlatch apply " + filepath.Join(w.dir, "nonew.lua"))
		if c := mine.confirm(""); c.Session.Session != control.SessionOld || c.Since.IsZero() {
			t.Errorf("confirm over the old connection: %+v", c)
		}
	})
}

// TestConfirmFromANewSession is what proves something.
func TestConfirmFromANewSession(t *testing.T) {
	forBothServices(t, func(t *testing.T, w *world) {
		mine := w.login()
		mine.ok("moonlatch apply " + filepath.Join(w.dir, "login.lua"))
		c := w.login().confirm("--new-session")
		if c.Session.Session != control.SessionNew || c.Number != 1 || c.APIVersion != control.Version {
			t.Errorf("confirm from a new session: %+v", c)
		}
		if ago := time.Since(c.Since); ago < 0 || ago > generous {
			t.Errorf("the new session began %s ago", ago)
		}
		second := w.login()
		mine.ok("moonlatch apply " + filepath.Join(w.dir, "login.lua"))
		if _, code := second.run("moonlatch confirm --new-session"); code != exitFailure {
			t.Errorf("a session younger than the first apply may confirm the second one")
		}
		if out := w.login().ok("moonlatch confirm"); !strings.Contains(out, "this session is younger than the apply") {
			t.Errorf("confirm from a new session:\n%s", out)
		}
	})
}

// TestConfirmFromADetachedSession is one whose connection nobody can tell, as in tmux.
func TestConfirmFromADetachedSession(t *testing.T) {
	forBothServices(t, func(t *testing.T, w *world) {
		mine := w.login()
		mine.ok("moonlatch apply " + filepath.Join(w.dir, "login.lua"))
		detached := func(command string) string {
			mine.ok("rm -f " + w.dir + "/done; setsid -f sh -c '" + command + " >" + w.dir + "/out 2>&1; echo $? >>" + w.dir + "/out; mv " + w.dir + "/out " + w.dir + "/done'; until [ -e " + w.dir + "/out -o -e " + w.dir + "/done ]; do sleep 0.05; done") // the terminal's end must not meet it before its own session
			var out []byte
			w.until("it has run: "+command, func() (ok bool) {
				b, err := os.ReadFile(filepath.Join(w.dir, "done"))
				out = b
				return err == nil
			})
			return string(out)
		}
		if out := detached("moonlatch confirm --new-session"); !strings.Contains(out, "nothing shows that this session is younger than generation 1: it does not descend from an sshd") || !strings.HasSuffix(out, "\n1\n") {
			t.Errorf("confirm --new-session: %s", out)
		}
		if out := detached("moonlatch confirm"); !strings.Contains(out, "is confirmed") || !strings.Contains(out, "note: nothing tells whether this session is younger") {
			t.Errorf("confirm: %s", out)
		}
	})
}

// TestConfirmFromTheHostItself: a new connection to oneself meets none of the rules
// for others.
func TestConfirmFromTheHostItself(t *testing.T) {
	forBothServices(t, func(t *testing.T, w *world) {
		w.login().ok("moonlatch apply " + filepath.Join(w.dir, "login.lua"))
		next := w.login()
		for _, from := range []string{"127.0.0.1", "::1", serverForClient} {
			out, code := next.run("SSH_CONNECTION='" + from + " 50000 " + from + " 22' moonlatch confirm --new-session")
			if code != exitFailure || !strings.Contains(out, "it comes from this host itself") {
				t.Errorf("from %s: exit code %d\n%s", from, code, out)
			}
		}
		if out, code := next.run("SSH_CONNECTION='" + client4 + " 50000 " + serverForClient + " 22' moonlatch confirm --new-session"); code != exitOK {
			t.Errorf("from the client: exit code %d\n%s", code, out)
		}
	})
}

// TestConfirmMeansWhatItCompared has another apply come in between the comparison of
// the session with the apply before it, and the confirm: that one stays on trial.
func TestConfirmMeansWhatItCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serveLogins()
	path := w.policy("login.lua", loginPolicy)
	for range 6 { // the two wait for the lock, and either may come first
		w.ok("apply", path)
		compared := w.status().Trial.Number
		session := w.login()
		lock, err := os.Open(filepath.Join(w.dir, "state", "lock"))
		must(t, err)
		must(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
		var confirm sync.WaitGroup
		var code int
		var out string
		confirm.Go(func() { out, code = session.run("moonlatch confirm --new-session -o json") })
		time.Sleep(200 * time.Millisecond) // time to compare
		time.AfterFunc(200*time.Millisecond, func() { lock.Close() })
		w.ok("apply", path)
		confirm.Wait()
		switch s := w.status(); {
		case code == exitOK && s.Confirmed.Number != compared:
			t.Errorf("the session was compared with generation %d, and confirmed %d:\n%s", compared, s.Confirmed.Number, out)
		case code == exitFailure && strings.Contains(out, fmt.Sprintf("before generation %d was applied", compared+1)):
			// It compared after the second apply, as it does on a busy machine.
		case code != exitOK && (code != exitRolledBack || s.Trial == nil):
			t.Errorf("exit code %d with generation %v on trial\n%s", code, s.Trial, out)
		}
	}
}

// TestConfirmIsOnRecord names in the daemon's log who confirmed, and from what session.
func TestConfirmIsOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.serveLogins()
	w.login().ok("moonlatch apply " + w.policy("login.lua", loginPolicy))
	w.login().ok("USER=ann moonlatch confirm")
	w.until("the log says who confirmed", func() bool {
		for line := range strings.Lines(w.daemonLog()) {
			if strings.Contains(line, "generation confirmed") && strings.Contains(line, `by="ann (uid 0, pid `) && strings.Contains(line, "session=new") {
				return true
			}
		}
		return false
	})
}

// TestSessionAgeSurvivesClockJumps sets nothing back: what is on record of the apply
// in wall clock time is an hour off, both ways.
func TestSessionAgeSurvivesClockJumps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serveLogins()
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		mine := w.login()
		mine.ok("moonlatch apply " + w.policy("login.lua", loginPolicy))
		record := filepath.Join(w.dir, "state", "generations", "1", "record.json")
		if jump < 0 {
			record = filepath.Join(w.dir, "state", "generations", "2", "record.json")
		}
		b, err := os.ReadFile(record)
		must(t, err)
		var doc struct{ Body map[string]any }
		must(t, json.Unmarshal(b, &doc))
		doc.Body["applied"] = time.Now().Add(jump)
		b, err = json.Marshal(doc.Body)
		must(t, err)
		must(t, os.WriteFile(record, fmt.Appendf(nil, "{\"sha256\":\"%x\",\"body\":%s}\n", sha256.Sum256(b), b), 0o600))
		if _, code := mine.run("moonlatch confirm --new-session"); code != exitFailure {
			t.Errorf("after a jump of %s the old session passes for a new one", -jump)
		}
		if c := w.login().confirm("--new-session"); c.Session.Session != control.SessionNew {
			t.Errorf("after a jump of %s the new session is %+v", -jump, c.Session)
		}
	}
}

// TestWindowTooShort prolongs a trial: it ends at the new deadline, with everything
// killed, and neither before nor after.
func TestWindowTooShort(t *testing.T) {
	w := confirmed(t, goodPolicy)
	w.ok("apply", "--confirm", unhurriedTrial.String(), w.policy("lockout.lua", lockOut))
	first := time.Now().Add(unhurriedTrial)
	var e control.Extended
	must(t, json.Unmarshal([]byte(w.ok("extend", "3s", "-o", "json")), &e))
	if e.Generation.Number != 2 || e.Left < 3 || e.Left > 13 || e.Deadline.After(first.Add(3*time.Second)) {
		t.Fatalf("extended: %+v", e)
	}
	w.kill()
	time.Sleep(time.Until(first.Add(500 * time.Millisecond)))
	if reachesWithin(w.client, ssh, soon) && time.Now().Before(e.Deadline) {
		t.Error("the client is back at the first deadline")
	}
	w.backInTime(e.Deadline)
	_, errs, code := w.run("extend", "1m")
	if code != exitRolledBack || !strings.Contains(errs, "the trial is over") {
		t.Errorf("extend after the end: exit code %d\n%s", code, errs)
	}
}

// TestFalseRollback has a service that needs a moment after the apply, as routes
// and sessions behind a firewall do: its probe passes in the end.
func TestFalseRollback(t *testing.T) {
	forBothServices(t, func(t *testing.T, w *world) {
		var asked atomic.Int32
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked.Add(1) == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})}
		go s.Serve(w.beacon(net.JoinHostPort(client4, "853")))
		t.Cleanup(func() { s.Close() })
		service := "http://" + client4 + ":853/#200"
		out := w.ok("apply", "--probe", service, "--probe", "ping:"+client4, filepath.Join(w.dir, "login.lua"))
		if !strings.Contains(out, "probe "+service+" passed\nprobe ping:"+client4+" passed\ngeneration 1 (login.lua) is confirmed") {
			t.Errorf("apply:\n%s", out)
		}
		if s := w.status(); s.State != control.Filtering {
			t.Errorf("state %q", s.State)
		}
	})
}

// TestProbeFails rolls back what keeps this host from what it needs.
func TestProbeFails(t *testing.T) {
	forBothServices(t, func(t *testing.T, w *world) {
		w.ok("apply", filepath.Join(w.dir, "login.lua"))
		w.ok("confirm")
		start := time.Now()
		out, errs, code := w.run("apply", "--confirm", "5m", "--probe", "ping:"+client4, w.policy("lockout.lua", lockOut))
		if code != exitRolledBack || !strings.Contains(errs, "rolled back: probe ping:"+client4+" failed: ") {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
		if took := time.Since(start); took > 4*time.Minute {
			t.Errorf("that took %s", took)
		}
		if s := w.status(); s.State != control.Filtering || s.Confirmed.Number != 1 || s.Trial != nil {
			t.Errorf("in force: %+v", s)
		}
		if !reachesWithin(w.client, ssh, generous) {
			t.Error("the client does not get in")
		}
	})
}

// TestProbesConfirmNothingElse: what has taken the place of the policy probed stays
// on trial, neither confirmed nor rolled back.
func TestProbesConfirmNothingElse(t *testing.T) {
	forBothServices(t, func(t *testing.T, w *world) {
		for _, open := range []bool{false, true} {
			target := w.policy("probed.lua", loginPolicy)
			first := w.command("apply", "--probe", "tcp:"+client4+":854", target)
			out := &lockedBuffer{}
			first.Stdout, first.Stderr = out, out
			must(t, w.server.Start(first))
			w.until("it is on trial", func() bool { return strings.Contains(out.String(), "on trial") })
			w.ok("apply", filepath.Join(w.dir, "login.lua"))
			if open {
				must(t, w.client.Do(func() error {
					l, err := net.Listen("tcp", net.JoinHostPort(client4, "854"))
					if err == nil {
						t.Cleanup(func() { l.Close() })
					}
					return err
				}))
			}
			first.Wait()
			if code := first.ProcessState.ExitCode(); code != exitRolledBack {
				t.Errorf("exit code %d\n%s", code, out)
			}
			if s := w.status(); s.State != control.Trying || s.Trial.Policy != "login.lua" {
				t.Errorf("in force: %+v", s)
			}
			w.ok("rollback")
		}
	})
}
