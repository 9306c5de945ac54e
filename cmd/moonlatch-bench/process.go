package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// threadTime returns the CPU time of the calling thread, user and system.
func threadTime() time.Duration {
	d, _ := clock(unix.CLOCK_THREAD_CPUTIME_ID) // every thread has one
	return d
}

// processTime returns the CPU time of a process, user and system.
func processTime(pid int) (time.Duration, error) {
	// clock_getcpuclockid(3): a process's clock is ~pid << 3 | CPUCLOCK_SCHED (linux/posix-timers.h).
	const cpuclockSched = 2
	d, err := clock(int32(^pid<<3 | cpuclockSched))
	if err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return d, nil
}

func clock(id int32) (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(id, &ts)
	return time.Duration(ts.Nano()), err
}

// memory is a process's resident memory in megabytes.
type memory struct{ now, peak float64 }

// memoryOf reads the memory of a process.
func memoryOf(pid int) (memory, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	defer f.Close()
	var m memory
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		to := map[string]*float64{"VmRSS": &m.now, "VmHWM": &m.peak}[name]
		if to == nil {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 64)
		if err != nil {
			return m, fmt.Errorf("memory of process %d: %w", pid, err)
		}
		*to = kib * 1024 / 1e6
	}
	return m, nil
}
