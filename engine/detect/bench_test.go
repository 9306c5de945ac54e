package detect

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"moonlatch/engine/packet"
)

// benchmarked are the counts, each with a usual key.
func benchmarked() []combination {
	return []combination{
		{count: Events}, {count: Bytes}, {count: DistinctDport}, {count: DistinctDst},
		{count: DistinctSrc, per: Dst}, {count: Events, per: SrcDport}, {count: DistinctDport, per: SrcDst}, {count: Events, bits4: 24},
	}
}

// BenchmarkFlood measures events of ever new keys, which miss the cache.
func BenchmarkFlood(b *testing.B) {
	for _, c := range benchmarked() {
		b.Run(c.String(), func(b *testing.B) {
			spec := c.spec()
			if c.count == Bytes {
				spec.Over = 1e9
			}
			d := newDetector(b, spec)
			var p packet.Packet
			i := 0
			for range 4 * d.Stats().Capacity { // so that all memory has been touched
				forge(&p, i)
				d.Observe(&p)
				i++
			}
			reportCPU(b)
			for b.Loop() {
				forge(&p, i)
				if c.per == Dst {
					p.Dst = p.Src
				}
				d.Observe(&p)
				i++
			}
		})
	}
}

// BenchmarkSteady measures keys that keep their windows full without crossing.
func BenchmarkSteady(b *testing.B) {
	for _, c := range benchmarked() {
		for _, over := range []int64{10, 100, 1000, MaxExact, 100_000} {
			spec := c.spec()
			if spec.Over = over; spec.Validate() == nil {
				b.Run(fmt.Sprintf("%s/over=%d", c, over), func(b *testing.B) { benchmarkSteady(b, spec) })
			}
		}
	}
}

// benchmarkSteady lets each of 100 keys have as many events in a window as are
// allowed, all different: what is told apart comes again when it has just been forgotten.
func benchmarkSteady(b *testing.B, spec Spec) {
	const keys = 100
	spec.Within = time.Duration(spec.Over*keys) * time.Microsecond
	d := newDetector(b, spec)
	order := rand.New(rand.NewPCG(1, 2)).Perm(keys)
	p := packet.Packet{HasPorts: true, Length: 1, Dst: host}
	i := 0
	reportCPU(b)
	for b.Loop() {
		who, n := byte(order[i%keys]), i/keys
		one, many := netip.AddrFrom4([4]byte{192, 0, who, 2}), netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)})
		p.Src = one
		switch {
		case spec.Count == DistinctSrc:
			p.Src, p.Dst = many, one
		case spec.Count == DistinctDst:
			p.Dst = many
		case spec.Count == DistinctDport:
			p.Dport = uint16(n)
		}
		p.Time = start.Add(time.Duration(i) * time.Microsecond)
		if hit := d.Observe(&p); hit != nil {
			b.Fatal("a steady source must stay at the threshold")
		}
		i++
	}
}

// BenchmarkRepeat measures things that come again while they are remembered,
// the oldest first, which moves each from one end of the window to the other.
func BenchmarkRepeat(b *testing.B) {
	for _, count := range []Count{DistinctDport, DistinctDst} {
		for _, over := range []int64{10, 1000, MaxExact} {
			b.Run(fmt.Sprintf("%s/over=%d", count, over), func(b *testing.B) {
				d := newDetector(b, Spec{Count: count, Over: over, Within: time.Hour})
				p := packet.Packet{Src: netip.MustParseAddr("192.0.2.1"), HasPorts: true}
				i := 0
				reportCPU(b)
				for b.Loop() {
					n := i % int(over)
					p.Dport, p.Dst = uint16(n), netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)})
					p.Time = start.Add(time.Duration(i) * time.Microsecond)
					d.Observe(&p)
					i++
				}
			})
		}
	}
}

// reportCPU adds what the benchmark costs where it does not have a processor
// for itself.
func reportCPU(b *testing.B) {
	runtime.LockOSThread()
	began := cpuTime(b)
	b.Cleanup(func() {
		b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op")
		runtime.UnlockOSThread()
	})
}

func cpuTime(b *testing.B) int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(1, &used); err != nil { // RUSAGE_THREAD, linux/resource.h
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}
