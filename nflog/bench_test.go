package nflog_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"moonlatch/nflog"
)

// These benchmarks read the same real NFLOG datagrams out of a full receive
// buffer, so that the cost of logging the packets stays outside. The numbers to
// compare are cpu-ns/event: BenchmarkAdaptive should be like BenchmarkReader at
// 1000, which cmd/moonlatch-bench compares with a raw recv loop.

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
