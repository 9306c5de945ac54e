package nflog_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/nflog"
)

// The kernel lists what it was told, and to whom it sends.
func TestKernelHoldsConfig(t *testing.T) {
	r := open(t, nflog.Config{Group: 300, CopyRange: 77, QueueThreshold: 9, FlushTimeout: 1239 * time.Millisecond})
	instance := func() (i struct{ group, port, queued, mode, copied, timeout int }) {
		b, err := os.ReadFile("/proc/net/netfilter/nfnetlink_log")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(string(b), &i.group, &i.port, &i.queued, &i.mode, &i.copied, &i.timeout); err != nil {
			t.Fatalf("%v in %q", err, b)
		}
		return i
	}
	const copyPacket = 2
	if i := instance(); i.group != 300 || i.mode != copyPacket || i.copied != 77 || i.timeout != 123 {
		t.Errorf("the kernel holds %+v", i)
	}
	if err := r.Tune(1, 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if i := instance(); i.timeout != 2 || i.copied != 77 {
		t.Errorf("the kernel holds %+v after Tune", i)
	}

	// Another process with the capability could send to a port it knows.
	stranger, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(stranger)
	to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: uint32(instance().port)}
	if err := unix.Sendto(stranger, packetMessage(0), 0, to); err != unix.ECONNREFUSED {
		t.Errorf("a stranger's packet: %v, want %v", err, unix.ECONNREFUSED)
	}
}

func TestGroupBusy(t *testing.T) {
	first := open(t, nflog.Config{Group: 41})
	before := openFiles(t)
	_, err := nflog.Open(nflog.Config{Group: 41})
	if !errors.Is(err, nflog.ErrGroupBusy) || !strings.Contains(err.Error(), "group 41") {
		t.Errorf("second Open: %v, want ErrGroupBusy that names group 41", err)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d open files after a failed Open, %d before", after, before)
	}
	open(t, nflog.Config{Group: 42})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, nflog.Config{Group: 41})
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestPermission(t *testing.T) {
	needKernel(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore := dropCapability(t, unix.CAP_NET_ADMIN)
	_, err := nflog.Open(nflog.Config{Group: 5})
	restore()
	if !errors.Is(err, nflog.ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("Open without CAP_NET_ADMIN: %v, want ErrPermission", err)
	}
	open(t, nflog.Config{Group: 5})
}

// dropCapability takes a capability from the calling thread until restore.
func dropCapability(t *testing.T, capability int) (restore func()) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		t.Fatal(err)
	}
	less := have
	less[capability/32].Effective &^= 1 << (capability % 32)
	if err := unix.Capset(&header, &less[0]); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Capset(&header, &have[0]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnsupported(t *testing.T) {
	needKernel(t)
	err := nflog.RequestAbsentSubsystem()
	if !errors.Is(err, nflog.ErrUnsupported) || !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "modprobe nfnetlink_log") {
		t.Errorf("kernel without the subsystem: %v, want ErrUnsupported", err)
	}
}

func TestOpenRejects(t *testing.T) {
	for field, cfg := range map[string]nflog.Config{
		"CopyRange":     {CopyRange: nflog.MaxCopyRange + 1},
		"ReceiveBuffer": {ReceiveBuffer: -1},
		"flush timeout": {FlushTimeout: -time.Second},
	} {
		if r, err := nflog.Open(cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("Open(%+v) = %v, %v, want an error about %s", cfg, r, err, field)
		}
	}
}

func TestClose(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	read := make(chan error)
	go func() { read <- r.Read(func(*nflog.Event) {}) }()
	time.Sleep(50 * time.Millisecond) // so that Read most likely waits by now
	for range 2 {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	select {
	case err := <-read:
		if err != net.ErrClosed {
			t.Errorf("Read during Close: %v, want net.ErrClosed", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Close left Read waiting")
	}
	if err := r.Read(func(*nflog.Event) {}); err != net.ErrClosed {
		t.Errorf("Read after Close: %v, want net.ErrClosed", err)
	}
	if err := r.Tune(1, 0); err != net.ErrClosed {
		t.Errorf("Tune after Close: %v, want net.ErrClosed", err)
	}
	if n := r.ReceiveBuffer(); n != 0 {
		t.Errorf("ReceiveBuffer after Close: %d", n)
	}
}

func TestCloseInHandler(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	send(t, sender(t), 1, nil)
	done := make(chan error)
	go func() {
		for {
			if err := r.Read(func(*nflog.Event) { r.Close() }); err != nil {
				done <- err
				return
			}
		}
	}()
	select {
	case err := <-done:
		if err != net.ErrClosed {
			t.Errorf("Read: %v, want net.ErrClosed", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Close in a handler hangs")
	}
}

func TestReceiveBuffer(t *testing.T) {
	limit := grantedBuffer(t, 1<<29)
	for _, size := range []int{20000, 0, 1 << 29} {
		want := size
		if size == 0 {
			want = nflog.DefaultReceiveBuffer
		}
		r := open(t, nflog.Config{Group: 5, ReceiveBuffer: size})
		// The test namespace has no privilege outside itself.
		if got := r.ReceiveBuffer(); got != min(want, limit) {
			t.Errorf("ReceiveBuffer %d: got %d, want %d of at most %d", size, got, want, limit)
		}
		r.Close()
	}
}

// grantedBuffer returns what the kernel grants any unprivileged socket.
func grantedBuffer(t *testing.T, size int) int {
	t.Helper()
	needKernel(t)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
		t.Fatal(err)
	}
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		t.Fatal(err)
	}
	return n / 2
}
