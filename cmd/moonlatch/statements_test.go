package main

import (
	"errors"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
)

// What only real connections show of the language: the lab has no host's stack that answers.
const statements = `
local fw = require "moonlatch"
local accept, drop = fw.accept, fw.drop
local raw = fw.chain "raw_in" { hook = "prerouting", priority = "raw" }
local mangle = fw.chain "mangling" { hook = "prerouting", priority = "mangle" }
local input = fw.chain "input" { hook = "input", policy = "drop" }
local output = fw.chain "output" { hook = "output" }

raw { "untracked", tcp = 7001, fw.notrack() }
raw { "syn", tcp = 7002, flags = "syn", fw.notrack() }
mangle { "proxied", tcp = 7003, fw.mark(3), fw.tproxy(7013), accept }
output { "answers untracked", proto = "tcp", sport = 7001, fw.notrack() }
output { "small", proto = "tcp", sport = 7004, flags = "syn/syn", fw.mss(600) }
output { "root", uid = 0, tcp = 7005, fw.reject("tcp-reset") }
output { "others", uid = 1, tcp = 7006, fw.reject("tcp-reset") }

input { "loopback", iif = "lo", accept }
input { "untracked", tcp = 7001, ct = "untracked", accept }
input { "synproxy", tcp = 7002, ct = { "invalid", "untracked" }, fw.synproxy { mss = 1400, wscale = 7, timestamp = true, sack = true } }
input { "bad", ct = "invalid", drop }
input { "proxied", mark = 3, accept }
input { "replies", ct = { "established", "related" }, accept }
input { "new", tcp = { 7002, 7004 }, ct = "new", accept }
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert" }, accept }
`

// TestStatements makes real connections, which notrack, synproxy, tproxy, mss and uid change.
func TestStatements(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, port := range []string{"7001", "7002", "7004", "7005", "7006"} {
		w.listen(net.JoinHostPort("::", port))
	}
	for _, s := range [][2]string{{"net/netfilter/nf_conntrack_tcp_loose", "0"}, {"net/ipv4/tcp_syncookies", "1"}, {"net/ipv4/tcp_timestamps", "1"}} {
		must(t, w.server.Sysctl(s[0], s[1]))
	}
	w.ok("apply", w.policy("statements.lua", statements))
	w.ok("confirm")
	to := func(port string) string { return net.JoinHostPort(serverForClient, port) }

	if !reachesWithin(w.client, to("7001"), generous) {
		t.Error("notrack: the port is closed")
	}
	if entries := w.conntrack(); strings.Contains(entries, "dport=7001") {
		t.Errorf("notrack: the connection is tracked:\n%s", entries)
	}
	if !reachesWithin(w.client, to("7002"), generous) {
		t.Error("synproxy: the port is closed")
	}
	if reachesWithin(w.client, to("22"), soon) {
		t.Error("a port that no rule opens is open")
	}

	c, err := dial(w.client, to("7004"), generous)
	must(t, err)
	defer c.Close()
	if got := segment(t, c.(*net.TCPConn)); got > 600 {
		t.Errorf("mss: segments of %d bytes", got)
	}

	for port, want := range map[string]error{"7005": syscall.ECONNREFUSED, "7006": nil} {
		if _, err := dial(w.server, to(port), generous); !errors.Is(err, want) {
			t.Errorf("uid: a connection of root's to port %s: %v, want %v", port, err, want)
		}
	}
}

// TestTproxy gives connections to anybody's address to a listener here.
func TestTproxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, args := range [][]string{{"rule", "add", "fwmark", "3", "lookup", "100"}, {"route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "100"}} {
		w.tool(w.server, "ip", args...)
	}
	must(t, w.server.Sysctl("net/ipv4/ip_forward", "1"))
	must(t, w.client.AddRoute("0.0.0.0/0", serverForClient))
	w.listenTransparent("0.0.0.0:7013")
	w.ok("apply", w.policy("statements.lua", statements))
	w.ok("confirm")
	c, err := dial(w.client, "192.0.2.99:7003", generous)
	must(t, err)
	defer c.Close()
	if got := c.RemoteAddr().String(); got != "192.0.2.99:7003" {
		t.Errorf("tproxy: the other end is %s", got)
	}
}

// TestBridgeAndARP filters frames that go through a bridge, and who may answer for an address.
func TestBridgeAndARP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := netnstest.New(t), netnstest.New(t)
	w.tool(w.server, "ip", "link", "add", "br0", "type", "bridge")
	w.tool(w.server, "ip", "link", "set", "br0", "up")
	for name, end := range map[string]struct {
		peer *netns.Namespace
		addr string
	}{"porta": {a, "10.9.0.1/24"}, "portb": {b, "10.9.0.2/24"}} {
		must(t, netns.Veth(w.server, name, end.peer, "eth0"))
		must(t, end.peer.AddAddr("eth0", end.addr))
		w.tool(w.server, "ip", "link", "set", name, "master", "br0")
	}
	(&world{t: t, server: b}).listen("10.9.0.2:7101")
	(&world{t: t, server: b}).listen("10.9.0.2:7102")
	if !reachesWithin(a, "10.9.0.2:7101", generous) || !reachesWithin(w.client, net.JoinHostPort(serverForClient, "22"), generous) {
		t.Fatal("the bridge does not work without a policy")
	}
	w.ok("apply", w.policy("frames.lua", `
local fw = require "moonlatch"
fw.chain "frames" { family = "bridge", hook = "forward" } { "no 7101", tcp = 7101, fw.drop }
fw.chain "arps" { family = "arp", hook = "input" } { "not the attacker", iif = "att0", fw.drop }
`))
	w.ok("confirm")
	if reachesWithin(a, "10.9.0.2:7101", soon) {
		t.Error("bridge: the frames pass")
	}
	if !reachesWithin(a, "10.9.0.2:7102", generous) {
		t.Error("bridge: other frames do not pass")
	}
	for _, n := range []struct {
		name, link string
		*netns.Namespace
	}{{"server", "cli0", w.server}, {"server", "att0", w.server}, {"client", "eth0", w.client}, {"attacker", "eth0", w.attacker}} {
		w.tool(n.Namespace, "ip", "neigh", "flush", "dev", n.link)
	}
	if !reachesWithin(w.client, net.JoinHostPort(serverForClient, "22"), generous) {
		t.Error("arp: the client is not answered")
	}
	if reachesWithin(w.attacker, net.JoinHostPort(serverForAttacker, "22"), soon) {
		t.Error("arp: the attacker is answered")
	}
}

// tool runs a system tool in a namespace.
func (w *world) tool(n *netns.Namespace, name string, args ...string) string {
	w.t.Helper()
	var out lockedBuffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	must(w.t, n.Start(cmd))
	if err := cmd.Wait(); err != nil {
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &out)
	}
	return out.String()
}

// conntrack lists the connections that the server's kernel tracks.
func (w *world) conntrack() string {
	w.t.Helper()
	return w.tool(w.server, "conntrack", "-L")
}

// listenTransparent is listen for connections to anybody's address.
func (w *world) listenTransparent(addr string) {
	w.t.Helper()
	transparent := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1) })
		return err
	}}
	must(w.t, w.server.Do(func() error {
		l, err := transparent.Listen(w.t.Context(), "tcp4", addr)
		if err != nil {
			return err
		}
		w.t.Cleanup(func() { l.Close() })
		go serveEcho(l)
		return nil
	}))
}

// segment is the largest segment that a connection sends.
func segment(t *testing.T, c *net.TCPConn) (size int) {
	t.Helper()
	raw, err := c.SyscallConn()
	must(t, err)
	deadline := time.Now().Add(generous)
	for size == 0 && time.Now().Before(deadline) {
		must(t, raw.Control(func(fd uintptr) { size, err = unix.GetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_MAXSEG) }))
		must(t, err)
	}
	return size
}
