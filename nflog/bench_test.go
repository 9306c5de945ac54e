package nflog_test

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/nflog"
)

// These benchmarks read the same real NFLOG datagrams out of a full receive
// buffer, so that the cost of logging the packets stays outside. The numbers to
// compare are cpu-ns/event: BenchmarkReader should be at most twice
// BenchmarkRawRecv, and BenchmarkAdaptive like BenchmarkReader at 1000.

func BenchmarkReader(b *testing.B) {
	for _, threshold := range []uint32{1, 16, 1000} {
		b.Run(fmt.Sprint("threshold=", threshold), func(b *testing.B) { benchmarkReader(b, threshold) })
	}
}

func BenchmarkAdaptive(b *testing.B) { benchmarkReader(b, 0) }

func benchmarkReader(b *testing.B, threshold uint32) {
	r := open(b, nflog.Config{Group: 5, QueueThreshold: threshold, ReceiveBuffer: 64 << 20})
	var bytes int
	drain(b, r.ReceiveBuffer(), func(n int) {
		for seen := 0; seen < n; {
			if err := r.Read(func(e *nflog.Event) { seen++; bytes += len(e.Payload) }); err != nil {
				b.Fatal(err)
			}
		}
	})
	s := r.Stats()
	if s.Lost > 0 || s.Malformed > 0 || s.Overruns > 0 || bytes == 0 {
		b.Fatalf("%d payload bytes, %+v", bytes, s)
	}
	b.ReportMetric(float64(s.Threshold), "threshold")
}

// BenchmarkRawRecv is the floor: a recv loop into one buffer and a walk over the
// attributes that does no more than find the payload.
func BenchmarkRawRecv(b *testing.B) {
	for _, threshold := range []uint32{1, 16, 1000} {
		b.Run(fmt.Sprint("threshold=", threshold), func(b *testing.B) {
			fd := rawBind(b, 5, threshold)
			buf := make([]byte, 64<<10)
			var bytes int
			granted, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
			if err != nil {
				b.Fatal(err)
			}
			drain(b, granted/2, func(n int) {
				for seen := 0; seen < n; {
					size, err := unix.Read(fd, buf)
					if err != nil {
						b.Fatal(err)
					}
					events, payload := walk(buf[:size])
					seen += events
					bytes += payload
				}
			})
			if bytes == 0 {
				b.Fatal("no payload")
			}
		})
	}
}

// drain fills a receive buffer of the given size and has read empty it, again and
// again until b.N events are read, and reports the CPU time of reading alone.
func drain(b *testing.B, buffer int, read func(events int)) {
	const room = 1024 // a packet of its own takes less, of what is twice the size
	loadRules(b, logInput(5))
	conn := sender(b)
	payload := make([]byte, 60)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	fill := func(packets int) (cpu time.Duration) {
		send(b, conn, packets, payload)
		time.Sleep(20 * time.Millisecond) // the last batch waits for the flush timer
		before := threadTime(b)
		read(packets)
		return threadTime(b) - before
	}
	full := min(buffer/room, 4000)
	for range 4 {
		fill(full) // until an adaptive threshold has settled
	}
	b.ReportAllocs()
	b.ResetTimer()
	var cpu time.Duration
	for left := b.N; left > 0; left -= full {
		cpu += fill(min(left, full))
	}
	b.StopTimer()
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/event")
	b.ReportMetric(0, "ns/op") // mostly sending
}

// rawBind binds a group as a C program would, without this package.
func rawBind(b *testing.B, group uint16, threshold uint32) int {
	needKernel(b)
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<20); err != nil {
		b.Fatal(err)
	}
	batch := uint32(4096 - 320)
	if threshold > 10 {
		batch = 32768 - 320
	}
	be32 := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	m := rawMessage(4<<8|1, group,
		rawAttr(1, []byte{1}),
		rawAttr(2, append(be32(128), 2, 0)),
		rawAttr(3, be32(batch)),
		rawAttr(4, be32(0)),
		rawAttr(5, be32(threshold)),
		rawAttr(6, []byte{0, 1}))
	binary.NativeEndian.PutUint16(m[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	if err := unix.Sendto(fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		b.Fatal(err)
	}
	answer := make([]byte, 4096)
	if _, err := unix.Read(fd, answer); err != nil {
		b.Fatal(err)
	}
	if errno := binary.NativeEndian.Uint32(answer[16:]); errno != 0 {
		b.Fatalf("bind: error %d", -int32(errno))
	}
	return fd
}

// walk counts the packets in a datagram and the bytes of their payloads.
func walk(b []byte) (events, payload int) {
	for len(b) >= 16 {
		size := int(binary.NativeEndian.Uint32(b))
		if binary.NativeEndian.Uint16(b[4:]) == 4<<8 {
			events++
			for a := b[20:size]; len(a) >= 4; {
				n := int(binary.NativeEndian.Uint16(a))
				if binary.NativeEndian.Uint16(a[2:]) == 9 {
					payload += n - 4
				}
				a = a[min((n+3)&^3, len(a)):]
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return events, payload
}
