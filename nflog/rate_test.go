package nflog_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/nflog"
)

// BenchmarkRate is about a Reader at work: packets come at a steady rate and it
// waits for them. Its numbers are those of the second half, when it has settled:
// the CPU time of this process, which does not send, the batch that a Read brings,
// and the time from a packet's timestamp to its handler.
func BenchmarkRate(b *testing.B) {
	for _, rate := range []int{100, 1000, 10000, 50000, 150000} {
		for _, threshold := range []uint32{0, 1, 1000} {
			b.Run(fmt.Sprintf("rate=%d/%s", rate, thresholdName(threshold)), func(b *testing.B) {
				loadRules(b, logInput(5))
				r := open(b, nflog.Config{Group: 5, QueueThreshold: threshold})
				benchmarkRate(b, r, rate)
			})
		}
	}
}

func thresholdName(threshold uint32) string {
	if threshold == 0 {
		return "adaptive"
	}
	return fmt.Sprint("threshold=", threshold)
}

func benchmarkRate(b *testing.B, r *nflog.Reader, rate int) {
	latencies := make([]time.Duration, 0, b.N)
	readUntil := func(packets int) (nflog.Stats, time.Duration) {
		for s := r.Stats(); s.Events+s.Lost < uint64(packets); s = r.Stats() {
			if err := r.Read(func(e *nflog.Event) { latencies = append(latencies, time.Since(e.Time)) }); err != nil {
				b.Fatal(err)
			}
		}
		return r.Stats(), processTime(b)
	}
	b.ReportAllocs()
	b.ResetTimer()
	wait := sendPaced(b, rate, b.N)
	half, halfTime := readUntil(b.N / 2)
	latencies = latencies[:0]
	end, endTime := readUntil(b.N)
	b.StopTimer()
	wait()
	if len(latencies) == 0 {
		return // one batch held it all
	}

	events := float64(end.Events - half.Events)
	slices.Sort(latencies)
	b.ReportMetric(float64(endTime-halfTime)/events, "cpu-ns/event")
	b.ReportMetric(events/float64(end.Reads-half.Reads), "events/read")
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(end.Threshold), "threshold")
	b.ReportMetric(float64(end.Tunings), "tunings")
	b.ReportMetric(0, "ns/op") // the rate's inverse
}

// paceEnv marks the copy of the test binary that sends: its value is the rate per
// second and how many packets there are to be.
const paceEnv = "NFLOG_TEST_PACE"

// sendPaced has a process of its own send n packets at a rate per second, and
// returns a function that waits for its end.
func sendPaced(tb testing.TB, rate, n int) (wait func()) {
	tb.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", paceEnv, rate, n))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	return func() {
		tb.Helper()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("sender: %v", err)
		}
	}
}

// runPaced is the process that sendPaced starts. It sends evenly to half a
// millisecond, and what is late at once, unless a busy machine has held it up for longer than a few packets.
func runPaced(order string) error {
	var rate, n int
	if _, err := fmt.Sscan(order, &rate, &n); err != nil {
		return err
	}
	conn, err := net.Dial("udp", "127.0.0.1:9")
	if err != nil {
		return err
	}
	defer conn.Close()
	nap := max(500*time.Microsecond, time.Second/time.Duration(2*rate))
	start := time.Now()
	for sent := 0; sent < n; time.Sleep(nap) {
		due := min(n, 1+int(time.Since(start).Seconds()*float64(rate)))
		if late := due - sent - max(10, rate/50); late > 0 {
			start = start.Add(time.Duration(late) * time.Second / time.Duration(rate))
			due -= late
		}
		for ; sent < due; sent++ {
			if _, err := conn.Write(nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// processTime returns the CPU time of this process, user and system.
func processTime(tb testing.TB) time.Duration { return clock(tb, unix.CLOCK_PROCESS_CPUTIME_ID) }

// threadTime returns the CPU time of the calling thread, user and system.
func threadTime(tb testing.TB) time.Duration { return clock(tb, unix.CLOCK_THREAD_CPUTIME_ID) }

func clock(tb testing.TB, id int32) time.Duration {
	tb.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ts.Nano())
}
