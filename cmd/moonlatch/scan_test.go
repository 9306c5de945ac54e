package main

import (
	"net"
	"os/exec"
	"testing"
	"time"
)

// webPolicy is the policy that ships, as it ships.
const webPolicy = "../../scripts/web.lua"

// TestScansAreBanned runs real scans of each kind against the policy that
// ships, and a client that goes about its business meanwhile.
func TestScansAreBanned(t *testing.T) {
	for _, scan := range []string{"-sS", "-sT", "-sF", "-sN", "-sX"} {
		for _, v6 := range []bool{false, true} {
			name, target, banned, clientAddr := scan+" IPv4", serverForAttacker, attacker4, serverForClient
			if v6 {
				name, target, banned, clientAddr = scan+" IPv6", serverForAttacker6, attacker6, serverForClient6 // its /64 is also the server's
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.start()
				w.ok("apply", webPolicy)
				w.ok("confirm")
				stop := make(chan struct{})
				failed := make(chan int, 1)
				go slowClient(w, net.JoinHostPort(clientAddr, "443"), stop, failed)
				if !reachesWithin(w.attacker, net.JoinHostPort(target, "443"), generous) {
					t.Fatal("the attacker does not even reach an open port before the scan")
				}
				w.scan(scan, v6, target, banned)
				if reaches(w.attacker, net.JoinHostPort(target, "443")) {
					t.Error("the banned attacker still reaches an open port")
				}
				close(stop)
				if n := <-failed; n > 0 {
					t.Errorf("%d requests of the client failed", n)
				}
				if b := w.bans(); len(b) != 1 {
					t.Errorf("banned: %v; want the attacker alone", b)
				}
			})
		}
	}
}

// scan runs nmap until the attacker is banned.
func (w *world) scan(kind string, v6 bool, target, banned string) {
	w.t.Helper()
	args := []string{"-n", "-Pn", kind, "-p1-400", "-T4", "--max-retries", "0", "--host-timeout", "20s", target}
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
