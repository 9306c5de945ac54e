package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/control"
	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
)

// beCommand makes the test binary behave as the command itself.
const beCommand = "MOONLATCH_TEST_BE_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(beCommand) != "" {
		main()
	}
	if os.Getenv(beLogins) != "" {
		serveLogins()
	}
	// Most of these tests wait for a deadline. The command line may say otherwise.
	flag.Set("test.parallel", "16")
	netnstest.Main(m)
}

// The addresses of a world.
const (
	serverForAttacker, attacker4  = "203.0.113.1", "203.0.113.9"
	serverForAttacker6, attacker6 = "2001:db8:bad::1", "2001:db8:bad::9"
	serverForClient, client4      = "198.51.100.1", "198.51.100.7"
	serverForClient6, client6     = "2001:db8:900d::1", "2001:db8:900d::7"
	generous                      = time.Minute // for things that take milliseconds on an idle machine
)

// world is a server with Moonlatch, an attacker and a client, each in a
// network namespace of its own.
type world struct {
	t                        *testing.T
	server, attacker, client *netns.Namespace
	dir                      string
	path                     string // where commands are looked for, if not where everybody looks
	daemon                   *exec.Cmd
	resolv                   string // what commands see as /etc/resolv.conf, if not the machine\'s
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, server: netnstest.New(t), attacker: netnstest.New(t), client: netnstest.New(t), dir: t.TempDir()}
	w.link(w.attacker, "att0", serverForAttacker+"/24", serverForAttacker6+"/64", attacker4+"/24", attacker6+"/64")
	w.link(w.client, "cli0", serverForClient+"/24", serverForClient6+"/64", client4+"/24", client6+"/64")
	for _, port := range []string{"22", "443"} {
		w.listen(net.JoinHostPort("::", port))
	}
	return w
}

func (w *world) link(peer *netns.Namespace, name, near4, near6, far4, far6 string) {
	w.t.Helper()
	must(w.t, netns.Veth(w.server, name, peer, "eth0"))
	for _, a := range []struct {
		n          *netns.Namespace
		link, addr string
	}{{w.server, name, near4}, {w.server, name, near6}, {peer, "eth0", far4}, {peer, "eth0", far6}} {
		must(w.t, a.n.AddAddr(a.link, a.addr))
	}
}

// listen serves an echo of whatever comes, on the server.
func (w *world) listen(addr string) {
	w.t.Helper()
	must(w.t, w.server.Do(func() error {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		w.t.Cleanup(func() { l.Close() })
		go serveEcho(l)
		return nil
	}))
}

// serveEcho sends back whatever comes.
func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}

// command is the command with this world's state and socket.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", append([]string{"--state", filepath.Join(w.dir, "state"), "--socket", w.socket()}, args...)...)
	if w.resolv != "" {
		script := `mount --bind "$1" /etc/resolv.conf && shift && exec "$@"`
		self, err := os.Executable()
		must(w.t, err)
		cmd = exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, "sh", w.resolv, self}, cmd.Args[1:]...)...)
	}
	cmd.Env = append(os.Environ(), beCommand+"=1")
	if w.path != "" {
		cmd.Env = append(cmd.Env, "PATH="+w.path)
	}
	return cmd
}

func (w *world) socket() string { return filepath.Join(w.dir, "control.sock") }

// run runs the command on the server and returns what it prints and its exit code.
func (w *world) run(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	cmd := w.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	must(w.t, w.server.Start(cmd))
	cmd.Wait() // the exit code tells
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// ok runs a command that must succeed.
func (w *world) ok(args ...string) string {
	w.t.Helper()
	out, errs, code := w.run(args...)
	if code != 0 {
		w.t.Fatalf("moonlatch %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// status asks for the status.
func (w *world) status() (s control.Status) {
	w.t.Helper()
	must(w.t, json.Unmarshal([]byte(w.ok("status", "-o", "json")), &s))
	return s
}

// bans asks for the banned addresses and prefixes.
func (w *world) bans() map[string]control.Ban {
	w.t.Helper()
	var doc struct{ Bans []control.Ban }
	must(w.t, json.Unmarshal([]byte(w.ok("bans", "-o", "json")), &doc))
	out := map[string]control.Ban{}
	for _, b := range doc.Bans {
		out[b.Target] = b
	}
	return out
}

// start starts the daemon and waits until it answers.
func (w *world) start(args ...string) {
	w.t.Helper()
	log, err := os.OpenFile(filepath.Join(w.dir, "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	must(w.t, err)
	w.startLogging(log, args...)
}

// startLogging is start with the daemon's log in a file that is given.
func (w *world) startLogging(log *os.File, args ...string) {
	w.t.Helper()
	w.daemon = w.command(append([]string{"run", "--metrics", ""}, args...)...)
	w.daemon.Stderr = log
	must(w.t, w.server.Start(w.daemon))
	w.t.Cleanup(func() { w.kill() })
	w.until("the daemon answers", func() bool {
		c, err := control.Dial(context.Background(), w.socket())
		if err != nil {
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), generous)
		defer cancel()
		_, err = c.Status(ctx)
		return err == nil
	})
}

// kill kills the daemon as nobody can refuse.
func (w *world) kill() {
	if w.daemon != nil {
		w.daemon.Process.Signal(syscall.SIGKILL)
		w.daemon.Wait()
		w.daemon = nil
	}
}

// until waits for something that must become true.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(generous); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("still waiting: %s\ndaemon's log:\n%s", what, w.daemonLog())
		}
	}
}

func (w *world) daemonLog() string {
	log, _ := os.ReadFile(filepath.Join(w.dir, "log"))
	return string(log)
}

// policy writes a policy into the world's folder.
func (w *world) policy(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	must(w.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// dial opens a connection from a namespace and sends something through it.
func dial(n *netns.Namespace, addr string, patience time.Duration) (c net.Conn, err error) {
	err = n.Do(func() (err error) {
		c, err = net.DialTimeout("tcp", addr, patience)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, echo(c, patience)
}

// echo proves that a connection carries data both ways.
func echo(c net.Conn, patience time.Duration) error {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprint(c, "hello"); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, len("hello")))
	return err
}

// syn sends one SYN, from an address of the namespace's own where one is given, and waits for nothing: a
// deadline could end an attempt before it has sent anything.
func syn(n *netns.Namespace, from, to string) error {
	target := netip.MustParseAddrPort(to)
	return n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if from != "" {
			if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(from).As4()}); err != nil {
				return err
			}
		}
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(target.Port()), Addr: target.Addr().As4()})
		if errors.Is(err, unix.EINPROGRESS) || errors.Is(err, unix.ECONNREFUSED) {
			return nil
		}
		return err
	})
}

// soon is long enough for a connection that works, most of the time; where one
// must work, give it a generous time.
const soon = 500 * time.Millisecond

// reaches reports whether a new connection carries data soon.
func reaches(n *netns.Namespace, addr string) bool { return reachesWithin(n, addr, soon) }

func reachesWithin(n *netns.Namespace, addr string, patience time.Duration) bool {
	c, err := dial(n, addr, patience)
	if c != nil {
		c.Close()
	}
	return err == nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lockedBuffer collects what a process prints on two streams.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
