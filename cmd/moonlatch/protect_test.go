package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"moonlatch/engine/control"
)

// protected asks who is protected, and returns the owners of each with their notes.
func (w *world) protected() map[string][]string {
	w.t.Helper()
	var doc struct{ Protected []control.Protected }
	must(w.t, json.Unmarshal([]byte(w.ok("protect", "list", "-o", "json")), &doc))
	out := map[string][]string{}
	for _, p := range doc.Protected {
		out[p.Target] = append(out[p.Target], strings.TrimSpace(p.Owner+" "+p.Note))
	}
	return out
}

// wantProtected holds what the kernel lets pass before it looks for bans against what is expected.
func (w *world) wantProtected(addr string, want ...string) {
	w.t.Helper()
	if got := w.protected()[addr]; strings.Join(got, ", ") != strings.Join(want, ", ") {
		w.t.Errorf("%s is protected by %q, want %q", addr, got, want)
	}
}

// refuses runs a command that must fail, and say why.
func (w *world) refuses(code int, why string, args ...string) {
	w.t.Helper()
	out, errs, got := w.run(args...)
	if got != code || !strings.Contains(errs, why) {
		w.t.Errorf("moonlatch %s: exit code %d, want %d and %q\n%s%s", strings.Join(args, " "), got, code, why, out, errs)
	}
}

// TestProtect protects addresses by hand: at once, through restarts and applies, with a daemon and without.
func TestProtect(t *testing.T) {
	for _, daemon := range []bool{true, false} {
		t.Run(fmt.Sprintf("daemon %v", daemon), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if daemon {
				w.start()
			}
			ssh := net.JoinHostPort(serverForAttacker, "22")
			w.ok("ban", attacker4)
			w.ok("ban", "192.0.2.0/24")
			if reaches(w.attacker, ssh) {
				t.Fatal("the ban does not work")
			}
			if out := w.ok("protect", "add", attacker4, "--note", "a friend after all"); !strings.Contains(out, "1 ban lifted: "+attacker4) {
				t.Errorf("protect add says:\n%s", out)
			}
			if !reachesWithin(w.attacker, ssh, generous) {
				t.Error("who is protected does not get in")
			}
			if b := w.bans(); len(b) != 1 {
				t.Errorf("banned are %v, want the other prefix alone", b)
			}
			w.refuses(1, attacker4+" is protected by moonlatch protect", "ban", attacker4)
			w.refuses(1, attacker4+" is protected by moonlatch protect; moonlatch ban 203.0.113.8/29 --split bans the rest of it", "ban", "203.0.113.8/29")
			if out := w.ok("ban", "203.0.113.8/29", "--split"); !strings.Contains(out, "but for "+attacker4+", in 3 parts") {
				t.Errorf("ban --split says:\n%s", out)
			}
			if b := w.bans(); b["203.0.113.8"].By != "manual" || b["203.0.113.10/31"].By != "manual" || b["203.0.113.12/30"].By != "manual" {
				t.Errorf("banned are %v", b)
			}
			if out := w.ok("unban", "203.0.113.8/29"); !strings.Contains(out, "3 bans lifted") {
				t.Errorf("unban says:\n%s", out)
			}
			w.refuses(1, serverForAttacker+" is this host's own, its gateway's or a resolver's; moonlatch ban 203.0.113.0/24 --split", "ban", "203.0.113.0/24")
			if out := w.ok("ban", "203.0.113.0/24", "--split"); !strings.Contains(out, "but for "+serverForAttacker+", "+attacker4) {
				t.Errorf("ban --split says:\n%s", out)
			}
			w.ok("unban", "203.0.113.0/24")
			w.ok("protect", "add", "192.0.2.128/25")
			if b := w.bans(); len(b) != 0 {
				t.Errorf("banned are %v, though a part of it is protected", b)
			}

			// As after a restart, of the machine too: nothing but the state directory is left.
			w.kill()
			must(t, w.server.Do(func() error { return exec.Command("nft", "flush", "ruleset").Run() }))
			if daemon {
				w.start()
			}
			w.ok("apply", w.policy("p.lua", `local fw = require "moonlatch"
fw.protect { "198.51.100.200" }
fw.chain "input" { hook = "input" } { "knock", tcp = 7, fw.trap "1h", fw.drop }`))
			w.ok("confirm")
			w.wantProtected(attacker4, "user a friend after all")
			w.refuses(1, "is protected", "ban", attacker4)
			// Nor does a trap of the policy catch them.
			reaches(w.attacker, net.JoinHostPort(serverForAttacker, "7"))
			if !reachesWithin(w.attacker, ssh, generous) {
				t.Error("a trap caught who is protected")
			}

			w.refuses(1, "is not on the list of moonlatch protect; "+serverForAttacker+" is protected by this host", "protect", "remove", serverForAttacker)
			w.ok("protect", "remove", attacker4)
			w.wantProtected(attacker4)
			w.ok("ban", attacker4)
			if reaches(w.attacker, ssh) {
				t.Error("who is protected no more cannot be banned")
			}
			if daemon {
				w.wantProtected("198.51.100.200", "policy")
			}
			w.refuses(1, "is protected", "ban", "198.51.100.200") // by the policy, as before
			w.refuses(1, "is not on the list", "protect", "remove", attacker4)
		})
	}
}

// TestProtectBadInput names what cannot be protected, and changes nothing. A damaged list is not overwritten.
func TestProtectBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		args []string
		code int
		why  string
	}{
		{[]string{"add", "192.0.2.300"}, 2, `"192.0.2.300" is no IP address or prefix: write it as 192.0.2.1`},
		{[]string{"add", "192.0.2.1/24"}, 2, "write 192.0.2.0/24, or 192.0.2.1 for the address alone"},
		{[]string{"add", "0.0.0.0/0"}, 2, "0.0.0.0/0 is everybody"},
		{[]string{"add", "::/0"}, 2, "::/0 is everybody"},
		{[]string{"add", "192.0.2.1", "--note", "two\nlines"}, 2, "cannot be printed"},
		{[]string{"add", "192.0.2.1", "--note", strings.Repeat("x", 300)}, 2, "300 bytes, and 256 are the most"},
		{[]string{"add"}, 2, "accepts 1 arg"},
		{[]string{"lits"}, 2, `unknown command "lits" (did you mean "list"?)`},
	} {
		w.refuses(tt.code, tt.why, append([]string{"protect"}, tt.args...)...)
	}
	w.refuses(2, "0.0.0.0/0 cannot be banned: it is everybody", "ban", "0.0.0.0/0")
	w.refuses(2, "::/0 cannot be banned: it is everybody", "ban", "::/0")
	w.refuses(1, "is protected", "ban", serverForAttacker)
	w.refuses(2, "", "ban", "192.0.2.9", "--for", "-1h")
	w.refuses(2, "", "ban", "192.0.2.9", "--for", "99999999999999999999h")
	file := filepath.Join(w.dir, "state", "protected.json")
	must(t, os.WriteFile(file, []byte(`{"apiVersion":"moonlatch/v1","protected":[{"target":"192.0.2.1/24"}]}`), 0o600))
	w.refuses(1, "protected[0]: 192.0.2.1/24 has bits set", "protect", "list")
	w.refuses(1, "mend the file, or move it away", "protect", "add", "192.0.2.7")
	if _, errs, code := w.run("status"); code != 0 || !strings.Contains(errs, "what moonlatch protect lists is not protected") {
		t.Errorf("status: exit code %d\n%s", code, errs)
	}
}

// TestNewAddresses: an address that the host gets while the daemon runs is protected, and freed of its ban, at once; one that goes is not.
func TestNewAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.ok("ban", "203.0.113.77")
	w.ok("ban", "2001:db8:77::/64")
	must(t, w.server.AddAddr("att0", "203.0.113.77/24"))
	must(t, w.server.AddAddr("att0", "2001:db8:77::1/64"))
	w.until("the new addresses are protected and not banned", func() bool {
		p := w.protected()
		return len(p["203.0.113.77"]) == 1 && len(p["2001:db8:77::1"]) == 1 && len(w.bans()) == 0
	})
	w.refuses(1, "203.0.113.77 is this host's own", "ban", "203.0.113.77")
	must(t, w.server.AddRoute("0.0.0.0/0", client4))
	w.until("the new gateway is protected", func() bool { return len(w.protected()[client4]) == 1 })
	w.wantProtected(client4, "gateway")
	must(t, w.server.Do(func() error { return exec.Command("ip", "address", "delete", "203.0.113.77/24", "dev", "att0").Run() }))
	w.until("an address that is gone can be banned", func() bool {
		_, _, code := w.run("ban", "203.0.113.77")
		return code == 0
	})
}

// TestLogins protects those who are logged in, for as long as they are, and none who only tries.
func TestLogins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serveLogins()
	w.start()
	l := w.login() // connected, with no command running
	done := make(chan struct{})
	w.ok("ban", client4)
	w.ok("unban", client4)
	go func() {
		defer close(done)
		l.run("sleep 8")
	}()
	w.until("the session is protected", func() bool { return len(w.protected()[client4]) == 1 })
	w.wantProtected(client4, "session")
	w.refuses(1, client4+" is protected by a login", "ban", client4)
	w.refuses(1, client4+" is protected by a login", "ban", "198.51.100.4/30")
	<-done
	w.until("a session that is over is not protected", func() bool { return len(w.protected()[client4]) == 0 })
}

// nameServer answers for admin.example.net with an address that can be changed, on the loopback of the server.
type nameServer struct {
	conn  net.PacketConn
	reply chan netip.Addr // what to answer from now on; the zero Addr means nothing
}

func (w *world) nameServer(first netip.Addr) *nameServer {
	w.t.Helper()
	s := &nameServer{reply: make(chan netip.Addr, 1)}
	must(w.t, w.server.Do(func() (err error) {
		s.conn, err = net.ListenPacket("udp", "127.0.0.1:53")
		return err
	}))
	w.t.Cleanup(func() { s.conn.Close() })
	go s.serve(first)
	return s
}

func (s *nameServer) serve(addr netip.Addr) {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		select {
		case addr = <-s.reply:
		default:
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Header.Response, m.Additionals = true, nil
		switch q := m.Questions[0]; {
		case !addr.IsValid():
			m.Header.RCode = dnsmessage.RCodeServerFailure
		case q.Name.String() != "admin.example.net.":
			m.Header.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: addr.As4()}}}
		}
		out, _ := m.Pack()
		s.conn.WriteTo(out, from)
	}
}

// TestProtectedNames: a name in fw.protect is what it resolves to when the policy is applied.
func TestProtectedNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := w.nameServer(netip.MustParseAddr(attacker4))
	must(t, os.WriteFile(filepath.Join(w.dir, "resolv.conf"), []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o600))
	w.resolv = filepath.Join(w.dir, "resolv.conf")
	w.start()
	w.ok("ban", attacker4)
	out := w.ok("apply", w.policy("p.lua", `local fw = require "moonlatch"
fw.protect { "admin.example.net", "nobody.example.net" }
fw.chain "input" { hook = "input" } { "knock", tcp = 7, fw.trap "1h", fw.drop }`))
	if !strings.Contains(out, `fw.protect "nobody.example.net" protects nobody yet`) {
		t.Errorf("apply does not warn of a name that does not resolve:\n%s", out)
	}
	w.ok("confirm")
	w.wantProtected(attacker4, "policy admin.example.net")
	if b := w.bans(); len(b) != 0 {
		t.Errorf("%v is banned still", b)
	}
	w.refuses(1, attacker4+" is protected by the policy, by its name admin.example.net", "ban", attacker4)
	reaches(w.attacker, net.JoinHostPort(serverForAttacker, "7"))
	if !reachesWithin(w.attacker, net.JoinHostPort(serverForAttacker, "22"), generous) {
		t.Error("a trap caught who is protected by name")
	}

	// The machine boots, and no resolver answers.
	w.kill()
	must(t, w.server.Do(func() error { return exec.Command("nft", "flush", "ruleset").Run() }))
	names.reply <- netip.Addr{}
	w.start()
	w.until("what the name resolved to last is protected", func() bool { return len(w.protected()[attacker4]) == 1 })
	if out := w.ok("protect", "list"); !strings.Contains(out, "admin.example.net (does not resolve; did last ") {
		t.Errorf("protect list does not say that the name does not resolve:\n%s", out)
	}
	w.refuses(1, attacker4+" is protected by the policy, by its name admin.example.net", "ban", attacker4)
	if out := w.ok("apply", filepath.Join(w.dir, "p.lua")); !strings.Contains(out, `fw.protect "admin.example.net" protects what it resolved to last, `) {
		t.Errorf("apply says of a name that does not resolve:\n%s", out)
	}
	w.wantProtected(attacker4, "policy admin.example.net")
}
