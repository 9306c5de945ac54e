package main

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// webPolicy is the policy that ships, as it ships.
const webPolicy = "../../scripts/web.lua"

// TestScansAreBanned runs real scans of each kind, by IPv4 and by IPv6, against the
// policy that ships, and a client that goes about its business meanwhile.
func TestScansAreBanned(t *testing.T) {
	for _, scan := range []string{"-sS", "-sT", "-sF", "-sN", "-sX"} {
		t.Run(scan, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start()
			w.ok("apply", webPolicy)
			w.ok("confirm")
			stop := make(chan struct{})
			failed := make(chan int, 2)
			for _, addr := range []string{serverForClient, serverForClient6} { // whose /64 is also the server's
				go slowClient(w, net.JoinHostPort(addr, "443"), stop, failed)
			}
			w.scanned(scan, serverForAttacker, attacker4)
			w.scanned(scan, serverForAttacker6, attacker6)
			close(stop)
			if n := <-failed + <-failed; n > 0 {
				t.Errorf("%d requests of the client failed", n)
			}
			if b := w.bans(); len(b) != 2 {
				t.Errorf("banned: %v; want the attacker alone", b)
			}
		})
	}
}

// scanned scans the server at one of its addresses, which gets the attacker banned there.
func (w *world) scanned(scan, target, banned string) {
	w.t.Helper()
	if !reachesWithin(w.attacker, net.JoinHostPort(target, "443"), generous) {
		w.t.Fatal("the attacker does not even reach an open port before the scan")
	}
	w.scan(scan, strings.Contains(target, ":"), target, banned)
	if reaches(w.attacker, net.JoinHostPort(target, "443")) {
		w.t.Error("the banned attacker still reaches an open port")
	}
}

// scan runs nmap until the attacker is banned.
func (w *world) scan(kind string, v6 bool, target, banned string) {
	w.t.Helper()
	args := []string{"-n", "-Pn", kind, "-p1-400", "-T4", "--max-retries", "0", "--host-timeout", "1m", target}
	if v6 {
		args = append([]string{"-6"}, args...)
	}
	cmd := exec.Command("nmap", args...)
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	must(w.t, w.attacker.Start(cmd))
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
		if w.t.Failed() {
			w.t.Logf("nmap says:\n%s", out)
		}
	}()
	w.until("the scanner is banned", func() bool {
		_, ok := w.bans()[banned]
		return ok
	})
}

// slowClient makes a request every now and then and tells how many failed.
func slowClient(w *world, addr string, stop <-chan struct{}, failed chan<- int) {
	n := 0
	for {
		select {
		case <-stop:
			failed <- n
			return
		case <-time.After(50 * time.Millisecond):
			if !reachesWithin(w.client, addr, generous) {
				n++
			}
		}
	}
}
