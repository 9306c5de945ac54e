package scripts_test

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"moonlatch/engine/netns"
	"moonlatch/engine/policy"
	"moonlatch/scripts"
)

// The flags that scanners set (RFC 9293).
const (
	fin = 1 << 0
	syn = 1 << 1
	rst = 1 << 2
	psh = 1 << 3
	ack = 1 << 4
	urg = 1 << 5
)

func TestEveryPolicyLoads(t *testing.T) {
	names, err := fs.Glob(scripts.Policies(), "*.lua")
	must(t, err)
	if len(names) < 2 {
		t.Fatalf("only %q are embedded", names)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.lua") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			p, err := policy.Load(scripts.Policies(), name, policy.Env{})
			must(t, err)
			defer p.Close()
			for _, w := range p.Warnings() {
				t.Errorf("warning: %v", w)
			}
			serve(t, name)
		})
	}
}

func TestWebServices(t *testing.T) {
	open := []int{22, 25, 80, 110, 143, 443, 465, 587, 993, 995}
	closed := []int{21, 53, 3306, 8080}
	listen(t, append(closed, open...)...)
	serve(t, "web.lua")
	g := plug(t, 0)
	for _, port := range open {
		if !g.connects(g.server4, port) {
			t.Errorf("port %d does not answer over IPv4", port)
		}
		if !g.connects(g.server6, port) {
			t.Errorf("port %d does not answer over IPv6", port)
		}
	}
	var all sync.WaitGroup // a port that does not answer takes its time
	for _, port := range closed {
		for _, server := range []netip.Addr{g.server4, g.server6} {
			all.Go(func() {
				if g.connects(server, port) {
					t.Errorf("port %d answers at %s", port, server)
				}
			})
		}
	}
	all.Wait()
	if !g.pings(t, g.server4) {
		t.Error("no ping over IPv4")
	}
	if !g.pings(t, g.server6) {
		t.Error("no ping over IPv6")
	}
}

func TestWebDatagrams(t *testing.T) {
	serve(t, "web.lua")
	g := plug(t, 5)
	local := g.linkLocal(t)
	for _, tt := range []struct {
		from, to netip.Addr
		port     int
		arrives  bool
	}{
		{g.ip4, g.server4, 443, true},
		{g.ip6, g.server6, 443, true},
		{g.ip4, g.server4, 444, false},
		{g.ip6, g.server6, 546, false},
		{local, g.server6, 546, true}, // DHCPv6 comes from link-local addresses
	} {
		if got := g.datagramArrives(t, tt.from, tt.to, tt.port); got != tt.arrives {
			t.Errorf("a datagram from %s to %s, port %d: arrives %v, want %v", tt.from, tt.to, tt.port, got, tt.arrives)
		}
	}
}

func TestWebTakesLoopbackAndErrors(t *testing.T) {
	listen(t, 8080)
	d := serve(t, "web.lua")
	for _, addr := range []string{"127.0.0.1:8080", "[::1]:8080"} {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			t.Errorf("the server does not reach itself: %v", err)
			continue
		}
		c.Close()
	}
	g := plug(t, 6)
	for _, addr := range []netip.Addr{g.ip4, g.ip6} {
		if err := refused(addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the server is not told that %s has no such port: %v", addr, err)
		}
	}
	g.sendICMP(t, g.server4, 3, 1) // host unreachable, about nothing that there is
	g.sendICMP(t, g.server6, 2, 0) // packet too big
	if n := packets(d, "errors"); n != 2 {
		t.Errorf("the rule for errors took %d packets, want 2", n)
	}
}

func TestWebDropsAnswersToNothing(t *testing.T) {
	listen(t, 443)
	d := serve(t, "web.lua")
	g := plug(t, 7)
	g.probe(t, syn|ack, 443, 443, 443)
	if n := packets(d, "invalid"); n != 3 {
		t.Errorf("the rule for invalid packets took %d, want 3", n)
	}
}

// The neighbours rule is what IPv6 lives on, so it must be seen to matter.
func TestIPv6NeedsItsNeighbours(t *testing.T) {
	listen(t, 22)
	serve(t, "web.lua", `"nd-neighbor-solicit", "nd-neighbor-advert", `, "")
	g := plug(t, 1)
	if !g.connects(g.server4, 22) {
		t.Error("IPv4 does not work either")
	}
	if g.connects(g.server6, 22) {
		t.Error("IPv6 works without neighbour discovery: the test of it proves nothing")
	}
}

func TestWebLimitsSSHPerSource(t *testing.T) {
	listen(t, 22)
	d := serve(t, "web.lua")
	g, other, admin := plug(t, 2), plug(t, 3), plugAdmin(t, 4)
	made := 0
	for made < 40 && g.connects(g.server4, 22) {
		made++
	}
	// The burst, and what the rate allows meanwhile.
	if made < 20 || made > 22 {
		t.Errorf("%d connections were made at once, want 20", made)
	}
	if packets(d, "ssh too fast") == 0 {
		t.Error("what is over the limit goes on to the rule for closed ports")
	}
	if !other.connects(other.server4, 22) {
		t.Error("one source used up what another is allowed")
	}
	for i := range 40 {
		if !admin.connects(admin.server4, 22) {
			t.Fatalf("the administrator's connection %d was refused", i+1)
		}
	}
}

func TestWebBansScanners(t *testing.T) {
	listen(t, 443)
	d := serve(t, "web.lua")
	ports := []int{81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92}
	tests := []struct {
		name     string
		scan     func(t *testing.T, g guest)
		rule     string
		detector string
	}{
		{"SYN", func(t *testing.T, g guest) { g.probe(t, syn, ports...) }, "closed", "portscan"},
		{"FIN", func(t *testing.T, g guest) { g.probe(t, fin, ports...) }, "fin", "stealth"},
		{"NULL", func(t *testing.T, g guest) { g.probe(t, 0, ports...) }, "null", "stealth"},
		{"Xmas", func(t *testing.T, g guest) { g.probe(t, fin|psh|urg, ports...) }, "xmas", "stealth"},
		{"SYN and FIN", func(t *testing.T, g guest) { g.probe(t, syn|fin, ports...) }, "syn fin", "stealth"},
		{"SYN and RST", func(t *testing.T, g guest) { g.probe(t, syn|rst, ports...) }, "syn rst", "stealth"},
		{"FIN to an open port", func(t *testing.T, g guest) {
			g.probe(t, fin, 443, 443, 443, 443, 443, 443, 443, 443, 443, 443, 443)
		}, "fin", "stealth"},
		{"connect", func(t *testing.T, g guest) { g.tries(t, g.server4, ports...) }, "closed", "portscan"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := plug(t, 10+i)
			if !g.connects(g.server4, 443) {
				t.Fatal("port 443 does not answer before the scan")
			}
			tt.scan(t, g)
			b := banned(t, d, g.ip4.String())
			if left := time.Until(b.Until); left < time.Hour-time.Minute || left > time.Hour+time.Second {
				t.Errorf("banned for %s, want an hour", left)
			}
			if n := packets(d, tt.rule); n < 11 {
				t.Errorf("the rule %q took %d packets, want 11 or more", tt.rule, n)
			}
			if b.By != tt.detector {
				t.Errorf("banned by %q, want %q", b.By, tt.detector)
			}
			if g.connects(g.server4, 443) {
				t.Error("the open port still answers")
			}
		})
	}
}

func TestWebBansNmap(t *testing.T) {
	if _, err := exec.LookPath("nmap"); err != nil {
		t.Log("nmap is not installed: TestWebBansScanners sends what it would send")
		return
	}
	listen(t, 22, 443)
	d := serve(t, "web.lua")
	for i, option := range []string{"-sS", "-sT", "-sF", "-sN", "-sX"} {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			g := plug(t, 20+i)
			cmd := exec.CommandContext(t.Context(), "nmap", "-n", "-Pn", option, "-T4", "--max-retries", "0",
				"--host-timeout", "3s", "-p", "1-100", g.server4.String())
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			must(t, g.Start(cmd))
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			banned(t, d, g.ip4.String())
		})
	}
}

// TestWebBansIPv6BySlash64 bans a scanner's /64, unless one of the server's own addresses is in it.
func TestWebBansIPv6BySlash64(t *testing.T) {
	d := serve(t, "web.lua")
	g := plug(t, 30)
	scan := []int{81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91}
	protected(t, g.server6.String())
	g.tries(t, g.server6, scan...)
	banned(t, d, g.ip6.String())

	server, err := netns.Current()
	must(t, err)
	defer server.Close()
	must(t, server.AddRoute("2001:db8:2:1e::/64", g.ip6.String()))
	must(t, g.AddAddr("lo", "2001:db8:2:1e::9/128"))
	route := exec.Command("ip", "-6", "route", "add", g.server6.String()+"/128", "dev", "eth0", "src", "2001:db8:2:1e::9")
	must(t, g.Start(route))
	must(t, route.Wait())
	g.tries(t, g.server6, scan...)
	banned(t, d, "2001:db8:2:1e::/64")
}

func TestWebBansNobodyElse(t *testing.T) {
	listen(t, 22, 443)
	d := serve(t, "web.lua")
	admin, clumsy, scanner := plugAdmin(t, 40), plug(t, 41), plug(t, 42)
	var ports []int
	for p := 1000; p < 1100; p++ {
		ports = append(ports, p)
	}
	admin.probe(t, syn, ports...)
	clumsy.probe(t, syn, ports[:10]...)
	clumsy.probe(t, fin, ports[:10]...)
	clumsy.probe(t, syn, ports[:10]...) // the same ports again are no more ports
	scanner.probe(t, syn, ports...)     // comes last, so that the others have been counted when it is banned
	banned(t, d, scanner.ip4.String())
	if b, ok := isBanned(t, d, admin.ip4.String()); ok {
		t.Errorf("the administrator is banned: %+v", b)
	}
	if b, ok := isBanned(t, d, clumsy.ip4.String()); ok {
		t.Errorf("ten closed ports are enough for a ban: %+v", b)
	}
	if !admin.connects(admin.server4, 22) || !clumsy.connects(clumsy.server4, 443) {
		t.Error("somebody who is not banned does not get in")
	}
}

func TestMinimal(t *testing.T) {
	listen(t, 22, 443)
	d := serve(t, "minimal.lua")
	g := plug(t, 50)
	if !g.connects(g.server4, 22) || !g.connects(g.server6, 22) {
		t.Error("ssh does not answer")
	}
	if g.connects(g.server4, 443) || g.connects(g.server6, 443) {
		t.Error("port 443 answers")
	}
	if !g.pings(t, g.server4) || !g.pings(t, g.server6) {
		t.Error("no ping")
	}
	g.probe(t, syn, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91)
	banned(t, d, g.ip4.String())
	if g.connects(g.server4, 22) {
		t.Error("ssh still answers the scanner")
	}
}
