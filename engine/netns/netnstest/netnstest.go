// Package netnstest runs tests in a private user and network namespace, so that they may change the kernel's
// rules as any user and never touch the machine's own.
package netnstest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"moonlatch/engine/netns"
)

// outside is the environment variable that tells the re-executed test binary which namespace it came from.
const outside = "MOONLATCH_TEST_OUTSIDE_NETNS"

// Main is to be called by TestMain. It runs the test binary once more, with the same arguments, in a private
// user and network namespace, and exits with its exit code. Where the kernel lacks namespaces or nf_tables it
// fails; under -short it runs the tests where they are, and those that call [Kernel] or [New] are skipped.
func Main(m *testing.M) {
	flag.Parse()
	if inside() {
		if err := prepare(); err != nil {
			if !testing.Short() {
				fail(err)
			}
			os.Unsetenv(outside) // Kernel then skips
		}
		os.Exit(m.Run())
	}
	if err := netns.Available(); err != nil {
		if testing.Short() {
			os.Exit(m.Run())
		}
		fail(err)
	}
	os.Exit(again())
}

// Kernel is to be called first by a test that changes namespaces, links or rules. It returns if the test
// runs in a private namespace, skips it under -short, and fails it otherwise.
func Kernel(t testing.TB) {
	t.Helper()
	switch {
	case inside():
	case testing.Short():
		t.Skip("kernel test: no private namespaces here (-short)")
	default:
		t.Fatal("kernel test outside of a private namespace: call netnstest.Main from TestMain")
	}
}

// New makes a network namespace with lo up, which is closed when the test ends.
func New(t testing.TB) *netns.Namespace {
	t.Helper()
	Kernel(t)
	n, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// again runs the test binary in a private namespace and returns its exit code.
func again() int {
	exe, err := os.Executable()
	if err != nil {
		fail(err)
	}
	id, err := current()
	if err != nil {
		fail(err)
	}
	cmd := netns.Command(context.Background(), exe, os.Args[1:]...)
	cmd.Env = append(os.Environ(), outside+"="+strconv.FormatUint(id, 10))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// The tests must not outlive this process. The kernel watches the thread that started them, so keep it.
	runtime.LockOSThread()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT) // go test sends SIGQUIT after its timeout
	if err := cmd.Start(); err != nil {
		fail(err)
	}
	go func() {
		for s := range signals {
			cmd.Process.Signal(s)
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fail(err)
	}
	if cmd.ProcessState.ExitCode() < 0 {
		fail(err) // a signal ended it
	}
	return cmd.ProcessState.ExitCode()
}

// inside reports whether this process runs in a private namespace that Main made. The variable alone proves
// nothing, so the namespace must also differ from the one it names.
func inside() bool {
	was, err := strconv.ParseUint(os.Getenv(outside), 10, 64)
	if err != nil {
		return false
	}
	id, err := current()
	return err == nil && id != was
}

// current returns the id of the network namespace that the process (its main thread) is in.
func current() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		return 0, fmt.Errorf("stat network namespace: %w", err)
	}
	return st.Ino, nil
}

// prepare sets lo up and checks that the kernel has nf_tables.
func prepare() error {
	n, err := netns.Current()
	if err != nil {
		return err
	}
	defer n.Close()
	if err := n.Up("lo"); err != nil {
		return err
	}
	// nfnetlink.h: NFNL_SUBSYS_NFTABLES; nf_tables.h: NFT_MSG_GETGEN.
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, unix.NLM_F_ACK)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
	if _, err := req.Execute(unix.NETLINK_NETFILTER, 0); err != nil {
		return fmt.Errorf("kernel tests need nf_tables (CONFIG_NF_TABLES, modprobe nf_tables): %w", err)
	}
	return nil
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "kernel tests: %v\n", err)
	os.Exit(1)
}
