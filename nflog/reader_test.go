package nflog_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
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
	// A new device gets its queue some time after it is up; this goes past it.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		t.Fatal(err)
	}
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
