package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"moonlatch/engine/control"
)

// listServer serves a list by HTTPS on the server itself, and has the commands trust it.
func (w *world) listServer(list *atomic.Value) (url string, s *httptest.Server) {
	w.t.Helper()
	var l net.Listener
	must(w.t, w.server.Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	}))
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, list.Load()) }))
	s.Listener.Close()
	s.Listener = l
	s.StartTLS()
	w.t.Cleanup(s.Close)
	authority := filepath.Join(w.dir, "ca.pem")
	must(w.t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	w.t.Setenv("SSL_CERT_FILE", authority)
	return s.URL + "/drop.txt", s
}

// stop ends the daemon.
func (w *world) stop() {
	w.daemon.Process.Signal(syscall.SIGTERM)
	w.daemon.Wait()
	w.daemon = nil
}

func (w *world) restart() {
	w.stop()
	w.start()
}

// nftables runs nft on the server.
func (w *world) nftables(args ...string) string {
	w.t.Helper()
	cmd := exec.Command("nft", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(w.t, w.server.Start(cmd))
	if err := cmd.Wait(); err != nil {
		w.t.Fatalf("nft %v: %v\n%s", args, err, &out)
	}
	return out.String()
}

func (w *world) feed() control.Feed {
	w.t.Helper()
	var doc control.FeedList
	must(w.t, json.Unmarshal([]byte(w.ok("feeds", "-o", "json")), &doc))
	if len(doc.Feeds) != 1 {
		w.t.Fatalf("%d feeds", len(doc.Feeds))
	}
	return doc.Feeds[0]
}

// TestFeed has a list fetched, changed, refused and kept over a rollback, a flush of the rules and a restart without network.
func TestFeed(t *testing.T) {
	w := newWorld(t)
	var list atomic.Value
	list.Store(attacker4 + "\n" + attacker6 + "\n192.0.2.1\n")
	url, site := w.listServer(&list)
	policy := func(extra string) string {
		return w.policy("feed.lua", fmt.Sprintf(`local fw = require "moonlatch"
local drop = fw.feed "drop" { url = %q }
local input = fw.chain "input" { hook = "input", policy = "accept" }
input { "listed", src = drop, fw.drop }
fw.watchdog { confirm = "1h" }
%s`, url, extra))
	}
	http, http6 := net.JoinHostPort(serverForAttacker, "443"), net.JoinHostPort(serverForAttacker6, "443")
	blocked := func() bool { return !reaches(w.attacker, http) && !reaches(w.attacker, http6) }
	w.start()
	w.ok("check", policy(""))
	w.ok("apply", policy(""))
	w.until("the feed is in force", func() bool { return w.feed().Entries == 3 && blocked() })
	if !reachesWithin(w.client, net.JoinHostPort(serverForClient, "443"), generous) {
		t.Error("the client is kept out")
	}
	w.ok("confirm")
	digest := w.status().Confirmed.Digest

	// A second policy on trial has it at once, and after the rollback it is still there.
	w.ok("apply", policy("-- changed"))
	if !blocked() {
		t.Error("the trial has no feed")
	}
	w.ok("rollback")
	if !blocked() {
		t.Error("after the rollback there is no feed")
	}

	// What comes new is in force, in no more than one step; what is wrong is not.
	list.Store(attacker4 + "\n192.0.2.1\n192.0.2.2\n")
	w.ok("feeds", "refresh")
	if reaches(w.attacker, http) || !reachesWithin(w.attacker, http6, generous) {
		t.Error("the new list is not in force")
	}
	for src, want := range map[string]string{"192.0.2.1": `drop by "listed"`, attacker6: "accept by the policy"} {
		if out := w.ok("trace", "--src", src, "--tcp", "443"); !strings.Contains(out, want) {
			t.Errorf("trace knows another list than what is in force, from %s:\n%s", src, out)
		}
	}
	for text, want := range map[string]string{
		"<html>": "HTML", "": "shrank", serverForClient + "\n1.1.1.1\n1.1.1.2\n": "protected", "0.0.0.0/0\n1.1.1.1\n1.1.1.2\n": "no list bans so many",
	} {
		list.Store(text)
		out := w.ok("feeds", "refresh")
		if f := w.feed(); !strings.Contains(f.Error, want) || !strings.Contains(out, want) || f.Entries != 3 || reaches(w.attacker, http) {
			t.Errorf("%q: %+v\n%s", text, f, out)
		}
	}
	if out := w.ok("status"); !strings.Contains(out, "NOT UPDATED: drop ") {
		t.Errorf("the status does not tell of the feed:\n%s", out)
	}
	if log := w.daemonLog(); strings.Contains(log, "somebody changed") {
		t.Errorf("a feed was taken for drift:\n%s", log)
	}

	// Whoever looks anew, a daemon that has just started or plan, finds the list that came since the apply no drift.
	w.restart()
	w.until("the daemon keeps the feed", func() bool { return w.feed().Entries == 3 })
	if out, _, _ := w.run("plan", policy("")); strings.Contains(out, "drift") || strings.Contains(out, "drop4") {
		t.Errorf("plan takes a feed for drift:\n%s", out)
	}
	if log := w.daemonLog(); strings.Contains(log, "somebody changed") {
		t.Errorf("after a restart a feed was taken for drift:\n%s", log)
	}

	// Somebody flushes everything: the rules come back, and the feed with them.
	w.nftables("flush", "ruleset")
	w.until("the feed is back", func() bool { return !reaches(w.attacker, http) })

	// A restart without network, and a boot: the last good copy.
	site.Close()
	w.stop()
	w.nftables("flush", "ruleset")
	w.start()
	w.until("the copy is in force", func() bool { return !reaches(w.attacker, http) && reaches(w.attacker, http6) })
	if got := w.status().Confirmed.Digest; got != digest {
		t.Error("a new list made another policy")
	}
}

// TestFeedSwap has packets of a listed address come in while its list is replaced again and again.
func TestFeedSwap(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.dir, "list")
	lists := [2]string{}
	for i := range 3000 {
		lists[i%2] += fmt.Sprintf("198.18.%d.%d\n", i>>8, i&255)
	}
	write := func(n int) { must(t, os.WriteFile(file, []byte(lists[n%2]+attacker4+"\n"), 0o600)) }
	write(0)
	w.start()
	w.ok("apply", w.policy("feed.lua", `local fw = require "moonlatch"
local drop = fw.feed "drop" { file = "list" }
local input = fw.chain "input" { hook = "input", policy = "accept" }
input { "listed", src = drop, udp = 7, fw.drop }
input { "passed", udp = 7, fw.drop }
`))
	w.until("the feed is in force", func() bool { return w.feed().Entries == 1501 })
	w.ok("confirm")
	w.restart() // the next one finds the file by where the generation's policy is
	stop, ended := make(chan struct{}), make(chan int)
	go func() {
		sent := 0
		defer func() { ended <- sent }()
		w.attacker.Do(func() error {
			c, err := net.Dial("udp", net.JoinHostPort(serverForAttacker, "7"))
			if err != nil {
				return err
			}
			defer c.Close()
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				c.Write([]byte("x"))
				if sent++; sent%50 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}()
	for n := 1; n <= 8; n++ {
		write(n)
		w.ok("feeds", "refresh")
	}
	close(stop)
	sent := <-ended
	if f := w.feed(); f.Error != "" || f.Entries != 1501 {
		t.Errorf("%+v", f)
	}
	out := w.nftables("-t", "list", "ruleset")
	if sent < 100 {
		t.Fatalf("%d packets", sent)
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, `"passed"`) && !strings.Contains(line, "packets 0 ") {
			t.Errorf("of %d packets some passed a swap: %s", sent, line)
		}
	}
	if !strings.Contains(out, `"passed"`) {
		t.Error("the rule is not listed")
	}
}
