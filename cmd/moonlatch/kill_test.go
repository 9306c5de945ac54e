package main

import (
	"net"
	"os/exec"
	"strings"
	"testing"

	"moonlatch/engine/netns"
)

// establishedPolicy lets new connections in by their SYN only, so that one which the kernel forgot is dead. One port bans who knocks there.
const establishedPolicy = `local fw = require "moonlatch"
local knock = fw.stream "knock"
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "replies",  ct = "established",                fw.accept }
input { "loopback", iif = "lo",                        fw.accept }
input { "nd",       icmp = { "nd-neighbor-solicit", "nd-neighbor-advert" }, fw.accept }
input { "services", tcp = { 22, 443 }, flags = "syn",  fw.accept }
input { "knock",    tcp = 7, knock,                    fw.drop }
fw.detect "knock" { on = knock, over = 0, within = "1m", ban = "1h", `

// open opens a connection that works.
func (w *world) open(from *netns.Namespace, addr string) net.Conn {
	w.t.Helper()
	c, err := dial(from, addr, generous)
	must(w.t, err)
	w.t.Cleanup(func() { c.Close() })
	return c
}

// TestKill ends established connections with a ban, by hand and by a detector, and leaves those of others alone.
func TestKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.ok("apply", w.policy("p.lua", establishedPolicy+`kill = true }`))
	w.ok("confirm")
	ssh, other := net.JoinHostPort(serverForAttacker, "22"), net.JoinHostPort(serverForClient, "22")
	good := w.open(w.client, other)

	// Without it, a connection outlives its ban.
	c := w.open(w.attacker, ssh)
	w.ok("ban", attacker4)
	if echo(c, soon) == nil {
		t.Error("a banned source's connection goes on")
	}
	w.ok("unban", attacker4)
	if err := echo(c, generous); err != nil {
		t.Errorf("without kill, the connection is dead after the ban: %v", err)
	}

	w.ok("ban", attacker4, "--kill")
	w.ok("unban", attacker4)
	if echo(c, soon) == nil {
		t.Error("the connection outlives a ban that kills")
	}
	byHand := w.open(w.attacker, ssh) // a new one may be made

	reaches(w.attacker, net.JoinHostPort(serverForAttacker, "7"))
	w.until("the detector bans", func() bool { return len(w.bans()) == 1 })
	w.until("its connections are cut", func() bool {
		out, err := tracked(w.server, attacker4)
		must(t, err)
		return out == 0
	})
	w.ok("unban", attacker4)
	if echo(byHand, soon) == nil {
		t.Error("the connection outlives the detector's ban")
	}
	if err := echo(good, generous); err != nil {
		t.Errorf("another's connection: %v", err)
	}
}

// TestSpareConnected: a detector that spares them bans none whom the server has connected to, and others it does.
func TestSpareConnected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.ok("apply", w.policy("p.lua", establishedPolicy+`spare = "connected" }`))
	w.ok("confirm")
	var l net.Listener
	must(t, w.client.Do(func() (err error) { l, err = net.Listen("tcp", ":443"); return err }))
	defer l.Close()
	go serveEcho(l)
	w.open(w.server, net.JoinHostPort(client4, "443"))
	w.open(w.attacker, net.JoinHostPort(serverForAttacker, "22")) // which the server did not open
	reaches(w.client, net.JoinHostPort(serverForClient, "7"))
	reaches(w.attacker, net.JoinHostPort(serverForAttacker, "7"))
	w.until("the attacker is banned", func() bool { _, banned := w.bans()[attacker4]; return banned })
	if b := w.bans(); len(b) != 1 {
		t.Errorf("banned are %v, want the attacker alone", b)
	}
}

// tracked is how many connections with an address the kernel tracks.
func tracked(n *netns.Namespace, addr string) (int, error) {
	var out []byte
	err := n.Do(func() (err error) { out, err = exec.Command("conntrack", "-L").Output(); return err })
	return strings.Count(string(out), "src="+addr+" "), err
}
