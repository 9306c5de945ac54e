package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"moonlatch/engine/control"
)

// blocked is a pipe that is full: whoever writes to it waits until somebody reads.
func blocked(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil { // Fd also makes writes block
		t.Fatal(err)
	}
	_, err = w.Write(make([]byte, 4096))
	must(t, err)
	return r, w
}

// TestStuckLog: bans go on while nobody takes the daemon's log, and after whoever took it has gone.
func TestStuckLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reader, full := blocked(t)
	w.startLogging(full, "--log-level", "debug", "--metrics", "127.0.0.1:9631")
	w.ok("apply", w.policy("p.lua", establishedPolicy+`}`))
	w.ok("confirm")
	var logging sync.WaitGroup
	for i := range 20 { // with a line each for the ban and its end, more than wait
		logging.Go(func() {
			if err := w.banAndUnban(fmt.Sprintf("192.0.2.%d", i+1), 105); err != nil {
				t.Error(err)
			}
		})
	}
	logging.Wait()
	must(t, syn(w.attacker, "", serverForAttacker+":7"))
	w.until("who knocks is banned", func() bool { return len(w.bans()) == 1 })
	if n := w.metric("moonlatch_log_dropped_lines_total"); n == 0 {
		t.Error("no line of the log is counted as dropped")
	}
	full.Close()
	reader.Close() // from now on, a line ends a process that does not look out for it
	w.ok("unban", attacker4)
	w.ok("log-level", "info")
	must(t, syn(w.attacker, "", serverForAttacker+":7"))
	w.until("who knocks is banned", func() bool { return len(w.bans()) == 1 })
}

// banAndUnban does that so often.
func (w *world) banAndUnban(target string, times int) error {
	c, err := control.Dial(w.t.Context(), w.socket())
	if err != nil {
		return err
	}
	defer c.Close()
	for range times {
		_, err := c.Ban(w.t.Context(), control.BanRequest{Target: target, For: 3600e9})
		if err == nil {
			_, err = c.Unban(w.t.Context(), control.UnbanRequest{Target: target})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// metric scrapes the daemon and returns the value of one series.
func (w *world) metric(series string) float64 {
	w.t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(w.scrape())
	if m == nil {
		w.t.Fatalf("no series %s", series)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	must(w.t, err)
	return n
}
