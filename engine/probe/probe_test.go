package probe_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/probe"
)

// run runs a probe; a dropped one takes all of the time.
func run(t *testing.T, text string, within time.Duration) error {
	t.Helper()
	p, err := probe.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = p.Within(within); err != nil {
		t.Fatal(err)
	}
	return p.Run(t.Context())
}

const (
	plenty = probe.MaxTimeout // for what gets an answer
	little = 300 * time.Millisecond
)

func reached(t *testing.T, text string) {
	t.Helper()
	if err := run(t, text, plenty); err != nil {
		t.Errorf("%v, though it is there", err)
	}
}

func failed(t *testing.T, text string, within time.Duration, want string) {
	t.Helper()
	err := run(t, text, within)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got error %v, want %q", text, err, want)
	}
	if within == little && !errors.Is(err, probe.ErrNoAnswer) {
		t.Errorf("%s: %v is no ErrNoAnswer", text, err)
	}
}

func TestTCP(t *testing.T) {
	s := newServer(t)
	for _, port := range []int{80, 81, 82, 83} {
		s.listen(t, port)
	}
	s.rule(t, "tcp dport 81 drop; tcp dport 82 reject with tcp reset; tcp dport 83 reject with icmpx admin-prohibited")
	for _, host := range []string{host4, host6} {
		reached(t, "tcp:"+host+":80")
		failed(t, "tcp:"+host+":81", little, "tcp "+host+":81: no answer within 3")
		failed(t, "tcp:"+host+":82", plenty, "tcp "+host+":82: connection refused after ")
		failed(t, "tcp:"+host+":84", plenty, "tcp "+host+":84: connection refused after ")
	}
	failed(t, "tcp:"+host4+":83", plenty, "no route to host after ")
	failed(t, "tcp:"+host6+":83", plenty, "permission denied after ")
	failed(t, "tcp:198.51.100.1:80", plenty, "tcp 198.51.100.1:80: network is unreachable after ")
	failed(t, "tcp:nowhere.invalid:80", plenty, "tcp nowhere.invalid:80: lookup nowhere.invalid")
}

func TestUDP(t *testing.T) {
	s := newServer(t)
	s.answer(t, 7, func(q []byte) []byte { return q })
	s.answer(t, 9, func(q []byte) []byte { s.lose.Store(1); return nil })
	s.rule(t, "udp dport 11 drop")
	for _, host := range []string{host4, host6} {
		s.lose.Store(0)
		reached(t, "udp:"+host+":7")
		s.lose.Store(1) // the second one is answered
		reached(t, "udp:"+host+":7")
		failed(t, "udp:"+host+":10", plenty, "udp "+host+":10: connection refused after ")
		failed(t, "udp:"+host+":11", little, "no answer within 3")
	}
}

func TestDNS(t *testing.T) {
	s := newServer(t)
	s.answer(t, 53, resolve)
	s.answer(t, 5353, resolve)
	reached(t, "dns:www.example.org@"+host4)
	reached(t, "dns:www.example.org@"+host6+":5353")
	failed(t, "dns:no.example.org@"+host4, plenty, "lookup no.example.org. on 192.0.2.2:53: no such host")
	failed(t, "dns:www.example.org@"+host4+":54", plenty, "connection refused")
	s.lose.Store(2) // the questions for both families, once
	if err := run(t, "dns:www.example.org@"+host4, plenty); err != nil {
		t.Errorf("a lost datagram is a verdict: %v", err)
	}
	s.lose.Store(1 << 20)
	if err := run(t, "dns:www.example.org@"+host4, little); err == nil {
		t.Error("a silent name server passes")
	}
}

// TestNamesOfHostsFile asks for a name that a lookup finds without any server,
// in a process that has an /etc/hosts of its own.
func TestNamesOfHostsFile(t *testing.T) {
	netnstest.Kernel(t)
	if os.Getenv("OWN_HOSTS") != "" {
		failed(t, "dns:www.example.org", plenty, "no server was asked: the name stands in /etc/hosts")
		return
	}
	hosts := filepath.Join(t.TempDir(), "hosts")
	must(t, os.WriteFile(hosts, []byte("192.0.2.80 www.example.org\n"), 0o600))
	cmd := exec.Command("unshare", "--mount", "sh", "-c", `mount --bind "$1" /etc/hosts && shift && exec "$@"`,
		"sh", hosts, os.Args[0], "-test.run=^TestNamesOfHostsFile$")
	cmd.Env = append(os.Environ(), "OWN_HOSTS=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestHTTP(t *testing.T) {
	s := newServer(t)
	s.web(t, 80)
	s.listen(t, 81) // never says a word
	t.Setenv("http_proxy", "http://192.0.2.2:1")
	reached(t, "http://"+host4+"/ok")
	reached(t, "http://"+host6+":80/missing")
	reached(t, "http://"+host4+"/moved")
	reached(t, "http://"+host4+"/broken#503")
	failed(t, "http://"+host4+"/broken", plenty, "http://192.0.2.2/broken: answered 503 Service Unavailable after ")
	failed(t, "http://"+host4+"/ok#204", plenty, "answered 200 OK, and 204 is wanted")
	failed(t, "http://"+host4+"/hang", little, "http://192.0.2.2/hang: no answer within 3")
	failed(t, "http://"+host4+":81/", little, "no answer within 3")
	failed(t, "http://"+host4+":82/", plenty, "connection refused after ")
	failed(t, "https://"+host4+":80/", plenty, "server gave HTTP response to HTTPS client after ")
}

func TestPing(t *testing.T) {
	netnstest.Kernel(t)
	client := netnstest.New(t)
	s := serverOf(t, client)
	in := func(fn func()) { must(t, client.Do(func() error { fn(); return nil })) }
	both := func() {
		reached(t, "ping:"+host4)
		reached(t, "ping:"+host6)
	}
	in(both) // over a raw socket: a new namespace lets no group ping
	in(func() {
		dropRaw(t)
		failed(t, "ping:"+host4, plenty, "it takes CAP_NET_RAW, or a group within the sysctl net.ipv4.ping_group_range")
	})
	must(t, client.Sysctl("net/ipv4/ping_group_range", "0 0"))
	in(func() { dropRaw(t); both() })
	s.rule(t, "icmp type echo-request drop")
	in(func() { failed(t, "ping:"+host4, little, "ping 192.0.2.2: no answer within 3") })
	in(func() { failed(t, "ping:198.51.100.1", plenty, "ping 198.51.100.1: network is unreachable after ") })
}

// dropRaw takes the right to open raw sockets from the calling thread, which
// must be locked to its goroutine and end with it.
func dropRaw(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // once more than it is unlocked
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	must(t, unix.Capget(&header, &caps[0]))
	caps[0].Effective &^= 1 << unix.CAP_NET_RAW
	must(t, unix.Capset(&header, &caps[0]))
}

func TestRunEndsWithItsContext(t *testing.T) {
	s := newServer(t)
	s.rule(t, "drop")
	for _, text := range []string{"tcp:192.0.2.2:80", "udp:192.0.2.2:80", "dns:example.org@192.0.2.2", "http://192.0.2.2/", "ping:192.0.2.2"} {
		p, err := probe.Parse(text)
		must(t, err)
		p, err = p.Within(probe.MaxTimeout)
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		start := time.Now()
		if err := p.Run(ctx); !errors.Is(err, context.Canceled) || time.Since(start) > probe.MaxTimeout/2 {
			t.Errorf("%s: %v after %s, want a prompt end", text, err, time.Since(start))
		}
	}
}
