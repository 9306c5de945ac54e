package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"moonlatch/engine/control"
)

// unhurriedLease is a liveness lease that a daemon renews in time on a busy machine, too.
const unhurriedLease = 12 * time.Second

// closedPort is one that goodPolicy does not let in, with somebody behind it.
var closedPort = net.JoinHostPort(serverForClient, "8080")

// filters reports whether a generation keeps the client from the closed port.
func (w *world) filters() bool { return !reaches(w.client, closedPort) }

// opens waits until the kernel lets everything through.
func (w *world) opens(since time.Time) {
	w.t.Helper()
	for w.filters() {
		if time.Since(since) > unhurriedLease+generous {
			w.t.Fatalf("nothing opened within %s and %s", unhurriedLease, generous)
		}
	}
}

// alive starts a daemon with a confirmed policy that has a liveness lease and
// what else the watchdog and the rest of the policy shall have.
func alive(t *testing.T, watchdog, rest string) *world {
	t.Parallel()
	w := newWorld(t)
	w.listen(net.JoinHostPort("::", "8080"))
	path := w.policy("alive.lua", goodPolicy+fmt.Sprintf("fw.watchdog { lease = %q, %s }\n", unhurriedLease, watchdog)+rest)
	if _, errs, code := w.run("apply", path); code != 4 || !strings.Contains(errs, "start moonlatch run first; nothing was changed") {
		t.Errorf("without a daemon: exit code %d, %s", code, errs)
	}
	w.start()
	w.ok("apply", path)
	w.ok("confirm")
	return w
}

// endless has a handler and a timer that never end by themselves.
const endless = `
local closed = fw.stream "closed"
input { "closed", tcp = 8080, closed, fw.drop }
fw.on(closed, function() while true do end end)
fw.every("1s", function() while true do end end)
`

// TestDeadDaemonOpensTheFirewall kills a daemon that renewed its lease before,
// although the policy's handlers did what they could against it.
func TestDeadDaemonOpensTheFirewall(t *testing.T) {
	w := alive(t, "", endless)
	left := unhurriedLease.Seconds()
	w.until("the lease is renewed", func() bool { // or else it would only become shorter
		w.filters() // which keeps the handler busy
		before := left
		left = w.status().Daemon.Liveness.Left
		return left > before
	})
	w.kill()
	w.opens(time.Now())
	if !reachesWithin(w.client, ssh, generous) {
		t.Error("the client is locked out")
	}
	if s := w.status(); s.State != control.Opened || !strings.Contains(s.Note, "has not renewed its liveness lease of 12s") {
		t.Errorf("status: %+v", s)
	}
	w.start()
	w.until("the new daemon takes the firewall back", w.filters)
	if s := w.status(); s.State != control.Filtering || s.Daemon.Liveness.Left == 0 {
		t.Errorf("status: %+v, %+v", s, s.Daemon.Liveness)
	}
}

// TestUnhealthyDaemonOpensTheFirewall has a daemon hang, and then its check fail.
func TestUnhealthyDaemonOpensTheFirewall(t *testing.T) {
	gateway := net.JoinHostPort(client4, "7777")
	w := alive(t, fmt.Sprintf("check = function() return fw.probe.tcp(%q) end", gateway), "")
	beacon := w.beacon(gateway)
	w.until("the check passes", func() bool { return w.status().Daemon.Liveness.Failing == "" && w.filters() })

	must(t, w.daemon.Process.Signal(syscall.SIGSTOP))
	w.opens(time.Now())
	must(t, w.daemon.Process.Signal(syscall.SIGCONT))
	w.until("the daemon takes the firewall back", w.filters)

	beacon.Close()
	w.opens(time.Now())
	w.until("the status tells", func() bool {
		l := w.status().Daemon.Liveness
		return strings.Contains(l.Failing, "tcp "+gateway+": connection refused after ") && !l.OpenSince.IsZero()
	})
	if out := w.ok("status"); !strings.Contains(out, "RAN OUT at ") || !strings.Contains(out, "NOT RENEWED since ") {
		t.Errorf("status:\n%s", out)
	}
	for line, want := range map[string]int{
		"the liveness lease ran out":        2,
		"the generation filters":            1,
		"the liveness lease is not renewed": 2, // the first time, nobody listened yet
	} {
		w.until("the log says that "+line, func() bool { return strings.Count(w.daemonLog(), line) >= want })
		log := w.daemonLog()
		if n := strings.Count(log, line); n < want || n > 2*want { // a machine that is too busy makes it run out, too
			t.Errorf("the log says %d times, not %d, that %s:\n%s", n, want, line, log)
		}
	}

	w.kill()
	w.start(filepath.Join(w.dir, "alive.lua"))
	w.until("the new daemon asks", func() bool { return w.status().Daemon.Liveness.Failing != "" })
	if s := w.status(); s.Trial != nil || !s.LeaseOver {
		t.Errorf("what is confirmed already is on trial again: %+v", s)
	}
	defer w.beacon(gateway).Close()
	w.until("the firewall is back", w.filters)
}

// beacon listens on an address of the client's.
func (w *world) beacon(addr string) (l net.Listener) {
	w.t.Helper()
	must(w.t, w.client.Do(func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	}))
	w.t.Cleanup(func() { l.Close() })
	return l
}
