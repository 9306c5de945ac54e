package nflog_test

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"moonlatch/nflog"
)

// insideEnv marks the copy of the test binary that runs in its own namespaces.
const insideEnv = "NFLOG_TEST_NAMESPACE"

// TestMain runs the tests in a new user and network namespace, where any user
// may load rules and bind groups, and nothing of the machine can be touched.
func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		flag.Set("test.skip", "^Example") // an example cannot skip itself
		os.Exit(m.Run())
	}
	if os.Getenv(insideEnv) == "" {
		os.Exit(runInNamespace())
	}
	if order := os.Getenv(paceEnv); order != "" {
		exitOn("sender", runPaced(order))
		os.Exit(0)
	}
	exitOn("test namespace", loopbackUp())
	os.Exit(m.Run())
}

func exitOn(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

// runInNamespace runs this test binary again and returns its exit code.
func runInNamespace() int {
	runtime.LockOSThread() // Pdeathsig is about the thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// The network namespace comes second, when the user namespace has its
		// users: else its files in /proc/net/netfilter belong to nobody here.
		Cloneflags:   syscall.CLONE_NEWUSER,
		Unshareflags: syscall.CLONE_NEWNET,
		UidMappings:  []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings:  []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:    syscall.SIGKILL,
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, "test namespace:", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

// loopbackUp brings lo up in the namespace.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// needKernel marks a test that needs the namespace.
func needKernel(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("runs on the kernel: not with -short")
	}
}

// loadRules replaces the ruleset of the test namespace.
func loadRules(tb testing.TB, rules string) {
	tb.Helper()
	needKernel(tb)
	if err := nft("flush ruleset\n" + rules); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := nft("flush ruleset\n"); err != nil {
			tb.Error(err)
		}
	})
}

func nft(script string) error {
	if os.Getenv(insideEnv) == "" {
		return errors.New("nft: not in a test namespace")
	}
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w\n%s%s", err, out, script)
	}
	return nil
}

// logInput is a ruleset that logs UDP packets to port 9 on their way in, and
// counts them: the counter is the kernel's own word on how many there were.
func logInput(group uint16) string {
	return fmt.Sprintf(`
		table inet t {
			counter logged { }
			chain input {
				type filter hook input priority filter
				udp dport 9 counter name logged log prefix "test" group %d drop
			}
		}`, group)
}

// logged returns what the counter of logInput says.
func logged(tb testing.TB) uint64 {
	tb.Helper()
	out, err := exec.Command("nft", "list", "counter", "inet", "t", "logged").CombinedOutput()
	if err != nil {
		tb.Fatalf("nft list counter: %v\n%s", err, out)
	}
	_, after, _ := strings.Cut(string(out), "packets ")
	var n uint64
	if _, err := fmt.Sscan(after, &n); err != nil {
		tb.Fatalf("no packet count in %q", out)
	}
	return n
}

// sender is a UDP socket that sends to port 9 on loopback.
func sender(tb testing.TB) *net.UDPConn {
	tb.Helper()
	return dialUDP(tb, "127.0.0.1:9")
}

func dialUDP(tb testing.TB, to string) *net.UDPConn {
	tb.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}

// send sends n packets with the given payload.
func send(tb testing.TB, conn *net.UDPConn, n int, payload []byte) {
	tb.Helper()
	for range n {
		if _, err := conn.Write(payload); err != nil {
			tb.Fatal(err)
		}
	}
}

func open(tb testing.TB, cfg nflog.Config) *nflog.Reader {
	tb.Helper()
	needKernel(tb)
	r, err := nflog.Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.Close() })
	return r
}
