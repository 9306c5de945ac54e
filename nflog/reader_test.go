package nflog_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"moonlatch/nflog"
)

// seen is an Event that outlives its handler.
type seen struct {
	Prefix, Payload string
	Family, Hook    uint8
	HWProtocol      uint16
	Mark            uint32
	InDev, OutDev   uint32
	UID, GID        uint32
	HasUID, HasGID  bool
	Seq             uint32
	Stamped         bool // the time is now
}

func keep(e *nflog.Event) seen {
	age := time.Since(e.Time)
	return seen{
		Prefix: string(e.Prefix), Payload: string(e.Payload),
		Family: e.Family, Hook: e.Hook, HWProtocol: e.HWProtocol, Mark: e.Mark,
		InDev: e.InDev, OutDev: e.OutDev,
		UID: e.UID, GID: e.GID, HasUID: e.HasUID, HasGID: e.HasGID,
		Seq: e.Seq, Stamped: age > -time.Second && age < time.Minute,
	}
}

// collect reads until n events have come, or fails.
func collect(t *testing.T, r *nflog.Reader, n int) []seen {
	t.Helper()
	var events []seen
	within(t, r, func() {
		for len(events) < n {
			if err := r.Read(func(e *nflog.Event) { events = append(events, keep(e)) }); err != nil {
				t.Fatalf("Read: %v after %d of %d events, %+v", err, len(events), n, r.Stats())
			}
		}
	})
	return events
}

// within runs f and closes r if that takes too long, so that a Read that would
// wait forever fails instead.
func within(t *testing.T, r *nflog.Reader, f func()) {
	t.Helper()
	timer := time.AfterFunc(10*time.Second, func() { r.Close() })
	defer timer.Stop()
	f()
}

func TestReadEvents(t *testing.T) {
	const loopback = 1 // the index of lo in a new namespace
	loadRules(t, `
		table inet t {
			chain out {
				type filter hook output priority filter
				udp dport 9 meta mark set 0x2a log prefix "on the way out" group 5
			}
			chain in {
				type filter hook input priority filter
				udp dport 9 log prefix "in: " group 5 drop
			}
		}`)
	r := open(t, nflog.Config{Group: 5})
	send(t, dialUDP(t, "127.0.0.1:9"), 1, []byte("four"))
	send(t, dialUDP(t, "[::1]:9"), 1, []byte("six"))

	events := collect(t, r, 4)
	for i, headers := range []int{28, 28, 48, 48} {
		events[i].Payload = events[i].Payload[headers:]
	}
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	want := []seen{
		{Prefix: "on the way out", Payload: "four", Family: unix.NFPROTO_IPV4, Hook: unix.NF_INET_LOCAL_OUT, HWProtocol: unix.ETH_P_IP, Mark: 0x2a, OutDev: loopback, UID: uid, GID: gid, HasUID: true, HasGID: true, Seq: 0},
		{Prefix: "in: ", Payload: "four", Family: unix.NFPROTO_IPV4, Hook: unix.NF_INET_LOCAL_IN, HWProtocol: unix.ETH_P_IP, Mark: 0x2a, InDev: loopback, Seq: 1, Stamped: true},
		{Prefix: "on the way out", Payload: "six", Family: unix.NFPROTO_IPV6, Hook: unix.NF_INET_LOCAL_OUT, HWProtocol: unix.ETH_P_IPV6, Mark: 0x2a, OutDev: loopback, UID: uid, GID: gid, HasUID: true, HasGID: true, Seq: 2},
		{Prefix: "in: ", Payload: "six", Family: unix.NFPROTO_IPV6, Hook: unix.NF_INET_LOCAL_IN, HWProtocol: unix.ETH_P_IPV6, Mark: 0x2a, InDev: loopback, Seq: 3, Stamped: true},
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A frame with a sender of its own comes in on a veth end, to see the link layer.
func TestReadLinkLayer(t *testing.T) {
	loadRules(t, `
		table inet t {
			chain pre {
				type filter hook prerouting priority raw
				iifname "right" udp dport 9 log group 5 drop
			}
		}`)
	for _, args := range []string{"link add left type veth peer name right", "link set left up", "link set right up"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(func() { exec.Command("ip", "link", "del", "left").Run() })
	r := open(t, nflog.Config{Group: 5})

	right, err := net.InterfaceByName("right")
	if err != nil {
		t.Fatal(err)
	}
	ethernet := cat(right.HardwareAddr, []byte{2, 3, 4, 5, 6, 7}, be16(unix.ETH_P_IP))
	udp := cat(be16(1000), be16(9), be16(12), be16(0), []byte("veth"))
	ip := cat([]byte{0x45, 0}, be16(32), be32(0), []byte{64, unix.IPPROTO_UDP, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2})
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	sendFrame(t, "left", cat(ethernet, ip, udp))

	within(t, r, func() {
		err := r.Read(func(e *nflog.Event) {
			if string(e.HWAddr) != "\x02\x03\x04\x05\x06\x07" || e.HWType != unix.ARPHRD_ETHER || string(e.HWHeader) != string(ethernet) {
				t.Errorf("hardware address %x type %d header %x, want the frame's %x", e.HWAddr, e.HWType, e.HWHeader, ethernet)
			}
			if string(e.Payload) != string(cat(ip, udp)) || e.InDev != uint32(right.Index) {
				t.Errorf("payload %x on %d, want %x on %d", e.Payload, e.InDev, cat(ip, udp), right.Index)
			}
		})
		if err != nil || r.Stats().Events != 1 {
			t.Errorf("Read: %v, %+v", err, r.Stats())
		}
	})
}

func checksum(header []byte) uint16 {
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	return ^uint16(sum % 0xffff)
}

func sendFrame(t *testing.T, device string, frame []byte) {
	t.Helper()
	link, err := net.InterfaceByName(device)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
		t.Fatal(err)
	}
}

func TestCopyRange(t *testing.T) {
	loadRules(t, logInput(5))
	conn := sender(t)
	for _, tt := range []struct{ configured, packet, want int }{
		{0, 500, 128},
		{40, 500, 40},
		{40, 30, 30},
		{1500, 1499, 1499},
		{nflog.MaxCopyRange, 60000, 60000},
	} {
		t.Run(fmt.Sprint(tt.configured, " of ", tt.packet), func(t *testing.T) {
			r := open(t, nflog.Config{Group: 5, CopyRange: uint32(tt.configured)})
			defer r.Close()
			send(t, conn, 1, make([]byte, tt.packet-28))
			if got := len(collect(t, r, 1)[0].Payload); got != tt.want {
				t.Errorf("payload of %d bytes, want %d", got, tt.want)
			}
		})
	}
}

func TestReadInOrder(t *testing.T) {
	for _, threshold := range []uint32{0, 1, 7, 1000} {
		t.Run(fmt.Sprint("threshold ", threshold), func(t *testing.T) {
			loadRules(t, logInput(5))
			r := open(t, nflog.Config{Group: 5, QueueThreshold: threshold})
			conn := sender(t)
			const n = 1000
			go func() {
				for i := range uint32(n) {
					conn.Write(be32(i))
				}
			}()
			for i, e := range collect(t, r, n) {
				if got := binary.BigEndian.Uint32([]byte(e.Payload[28:])); got != uint32(i) || e.Seq != uint32(i) {
					t.Fatalf("event %d: packet %d, sequence number %d", i, got, e.Seq)
				}
			}
			if s := r.Stats(); s.Events != n || s.Lost != 0 || s.Overruns != 0 || s.Malformed != 0 {
				t.Errorf("%+v, want %d events and nothing else", s, n)
			}
		})
	}
}

// What waits is handed over in one Read, up to a bound.
func TestReadDrains(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	send(t, sender(t), 100, nil)
	for _, want := range []uint64{64, 100} {
		if err := r.Read(func(*nflog.Event) {}); err != nil {
			t.Fatal(err)
		}
		if s := r.Stats(); s.Events != want {
			t.Errorf("%+v, want %d events", s, want)
		}
	}
	if s := r.Stats(); s.Reads != 2 || s.Datagrams != 100 {
		t.Errorf("%+v, want 2 reads of 100 datagrams", s)
	}
}

// The kernel's own counter says how many packets there were: every one of them
// must have been an event or be counted as lost, once.
func TestLossIsExact(t *testing.T) {
	for _, threshold := range []uint32{1, 10} {
		t.Run(fmt.Sprint("threshold ", threshold), func(t *testing.T) {
			loadRules(t, logInput(5))
			r := open(t, nflog.Config{Group: 5, ReceiveBuffer: 20000, QueueThreshold: threshold})
			conn := sender(t)

			const incidents = 3
			for range incidents {
				send(t, conn, 2000, nil) // nobody reads: most of them are lost
				before := r.Stats()
				readUntilCounted(t, r, conn)
				if s := r.Stats(); s.Lost <= before.Lost || s.Lost+s.Events != logged(t) {
					t.Errorf("%+v, of %d packets", s, logged(t))
				}
			}
			s := r.Stats()
			if s.Overruns < incidents || s.Overruns > s.Lost {
				t.Errorf("%+v, want at least an overrun per incident, %d", s, incidents)
			}
			if s.Malformed != 0 || s.Events == 0 {
				t.Errorf("%+v, want events and nothing malformed", s)
			}
			t.Logf("%+v", s)
		})
	}
}

// readUntilCounted reads until events and losses make up all packets. It sends
// more, because a loss at the end shows with the next packet only.
func readUntilCounted(t *testing.T, r *nflog.Reader, conn *net.UDPConn) {
	t.Helper()
	var last uint32
	within(t, r, func() {
		for range 1000 {
			send(t, conn, 1, nil)
			err := r.Read(func(e *nflog.Event) {
				if e.Seq < last {
					t.Errorf("sequence number %d after %d", e.Seq, last)
				}
				last = e.Seq
			})
			if err != nil {
				t.Fatal(err)
			}
			if s := r.Stats(); s.Events+s.Lost == logged(t) {
				return
			}
		}
	})
}

// After an overrun the kernel drops all packets until the buffer is empty, though
// there be room for them, and reports that ahead of the packets in the buffer.
func TestOverrunLastsUntilEmpty(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5, ReceiveBuffer: 20000})
	conn := sender(t)
	send(t, conn, 2000, nil)
	if err := nflog.Discard(r, 1); err != unix.ENOBUFS {
		t.Fatalf("first read after an overrun: %v, want %v", err, unix.ENOBUFS)
	}
	if err := nflog.Discard(r, 10); err != nil {
		t.Fatal(err)
	}
	send(t, conn, 5, nil)
	if err := r.Read(func(e *nflog.Event) {
		if e.Seq >= 2000 {
			t.Errorf("packet %d got through", e.Seq)
		}
	}); err != nil {
		t.Fatal(err)
	}
	send(t, conn, 1, nil)
	if got := collect(t, r, 1)[0].Seq; got != 2005 {
		t.Errorf("packet %d got through, want 2005, the first after the buffer was empty", got)
	}
	if s := r.Stats(); s.Events+s.Lost != logged(t) {
		t.Errorf("%+v, of %d packets", s, logged(t))
	}
}

// The first packets may be lost too: the numbers start with the bind.
func TestLossBeforeFirstEvent(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	send(t, sender(t), 3, nil)
	if err := nflog.Discard(r, 2); err != nil {
		t.Fatal(err)
	}
	collect(t, r, 1)
	if s := r.Stats(); s.Lost != 2 || s.Events != 1 {
		t.Errorf("%+v, want 2 lost and 1 event", s)
	}
}

func TestTune(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	conn := sender(t)

	step := func(threshold uint32, timeout time.Duration, packets int, want uint64) {
		t.Helper()
		if err := r.Tune(threshold, timeout); err != nil {
			t.Fatal(err)
		}
		before := r.Stats()
		send(t, conn, packets, nil)
		collect(t, r, packets)
		if got := r.Stats().Datagrams - before.Datagrams; got != want {
			t.Errorf("threshold %d: %d packets in %d datagrams, want %d", threshold, packets, got, want)
		}
	}
	step(1, 0, 50, 50)
	step(50, 10*time.Second, 50, 1)
	step(25, 10*time.Second, 50, 2)
	step(0, 0, 50, 50)
}

func TestFlushTimeout(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5, QueueThreshold: 1000})
	conn := sender(t)
	wait := func() time.Duration {
		start := time.Now()
		send(t, conn, 1, nil)
		collect(t, r, 1)
		return time.Since(start)
	}
	if d := wait(); d > 2*time.Second {
		t.Errorf("a lone packet took %v with no flush timeout, want a tick", d)
	}
	if err := r.Tune(1000, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if d := wait(); d < 400*time.Millisecond {
		t.Errorf("a lone packet took %v, want the flush timeout of 500ms", d)
	}
}

// Tune, Stats and Read do not disturb each other, nor lose a packet.
func TestTuneWhileReading(t *testing.T) {
	loadRules(t, logInput(5))
	r := open(t, nflog.Config{Group: 5})
	conn := sender(t)
	const n = 3000
	stop := make(chan struct{})
	tuned := make(chan error)
	go func() {
		for i := uint32(0); ; i++ {
			select {
			case <-stop:
				tuned <- nil
				return
			default:
			}
			if err := r.Tune(i%100, time.Duration(i%3)*10*time.Millisecond); err != nil {
				tuned <- err
				return
			}
			if s := r.Stats(); s.Events > n {
				tuned <- fmt.Errorf("%+v", s)
				return
			}
		}
	}()
	go func() {
		for range n {
			conn.Write(nil)
		}
	}()
	collect(t, r, n)
	close(stop)
	if err := <-tuned; err != nil {
		t.Error(err)
	}
	if s := r.Stats(); s.Lost != 0 || s.Malformed != 0 {
		t.Errorf("%+v, want nothing lost", s)
	}
}

func TestTuneRefused(t *testing.T) {
	r := open(t, nflog.Config{Group: 5})
	if err := r.Tune(1, -1); err == nil {
		t.Error("Tune took a negative timeout")
	}
	if err := r.Unbind(); err != nil {
		t.Fatal(err)
	}
	if err := r.Tune(5, 0); err != nil {
		t.Fatal(err)
	}
	within(t, r, func() {
		if err := r.Read(func(*nflog.Event) {}); !errors.Is(err, unix.ENODEV) {
			t.Errorf("Read = %v, want the kernel's refusal, %v", err, unix.ENODEV)
		}
	})
}

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
	_, err := nflog.Open(nflog.Config{Group: 41})
	if !errors.Is(err, nflog.ErrGroupBusy) || !strings.Contains(err.Error(), "group 41") {
		t.Errorf("second Open: %v, want ErrGroupBusy that names group 41", err)
	}
	open(t, nflog.Config{Group: 42})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, nflog.Config{Group: 41})
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
	case <-time.After(10 * time.Second):
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
	case <-time.After(10 * time.Second):
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

func TestReadDoesNotAllocate(t *testing.T) {
	loadRules(t, logInput(5))
	for _, threshold := range []uint32{1, 100} {
		r := open(t, nflog.Config{Group: 5, QueueThreshold: threshold})
		conn := sender(t)
		payload := make([]byte, 50)
		var events, bytes int
		handle := func(e *nflog.Event) { events++; bytes += len(e.Payload) + len(e.Prefix) }
		perRun := testing.AllocsPerRun(50, func() {
			send(t, conn, 200, payload)
			for end := events + 200; events < end; {
				if err := r.Read(handle); err != nil {
					t.Fatal(err)
				}
			}
		})
		if perRun != 0 {
			t.Errorf("threshold %d: %v allocations for 200 events", threshold, perRun)
		}
		if events < 10000 || bytes == 0 {
			t.Errorf("threshold %d: only %d events", threshold, events)
		}
		r.Close()
	}
}
