package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moonlatch/engine/control"
)

// flood is many clients of the page that mean no good.
type flood struct {
	streams, refused, cut atomic.Int64
}

// unleash opens so many streams, and as many connections as there are headers
// floods, each of which sends headers without an end. All go on until ctx ends.
func (w *world) unleash(ctx context.Context, streams, headers int) (*flood, func()) {
	var f flood
	var all sync.WaitGroup
	each := func(n int, run func(net.Conn)) {
		for range n {
			all.Go(func() {
				for ctx.Err() == nil {
					var c net.Conn
					if w.server.Do(func() (err error) { c, err = net.DialTimeout("tcp", webAddress, generous); return err }) != nil {
						continue
					}
					stop := context.AfterFunc(ctx, func() { c.Close() })
					run(c)
					stop()
					c.Close()
					select { // so that it is the daemon that is busy, and not this test
					case <-ctx.Done():
					case <-time.After(200 * time.Millisecond):
					}
				}
			})
		}
	}
	each(streams, func(c net.Conn) {
		io.WriteString(c, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return
		}
		if resp.StatusCode != http.StatusOK {
			f.refused.Add(1)
			return
		}
		f.streams.Add(1)
		io.Copy(io.Discard, resp.Body)
	})
	each(headers, func(c net.Conn) {
		io.WriteString(c, "GET /api/status HTTP/1.1\r\nHost: localhost\r\n")
		for line := "X-Flood: " + strings.Repeat("x", 1000) + "\r\n"; ; {
			if _, err := io.WriteString(c, line); err != nil {
				f.cut.Add(1)
				return
			}
		}
	})
	return &f, all.Wait
}

// TestWebFlood: five hundred listeners and a flood of headers keep neither a
// ban nor the end of a trial from coming, and the page answers again when they are gone.
func TestWebFlood(t *testing.T) {
	w := newWorld(t)
	w.start("--web", webAddress)
	w.ok("apply", w.policy("web.lua", before))
	w.ok("confirm")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f, wait := w.unleash(ctx, 500, 20)
	w.until("the flood", func() bool { return f.streams.Load() > 0 && f.refused.Load() > 0 && f.cut.Load() > 0 })

	w.ok("apply", "--confirm", unhurriedTrial.String(), w.policy("web.lua", after))
	deadline := time.Now().Add(unhurriedTrial)
	began := time.Now()
	w.knock(7000, 7001, 7002, 7003, 7004, 7005, 7006)
	client, err := control.Dial(t.Context(), w.socket())
	must(t, err)
	defer client.Close()
	w.until("the ban", func() bool {
		all, err := client.Bans(t.Context())
		must(t, err)
		return len(all) == 1
	})
	banned := time.Since(began)
	w.until("the trial's end", func() bool { return reaches(w.client, serverForClient+":22") })
	late := time.Since(deadline)
	if n := f.streams.Load(); n > 64 {
		t.Errorf("%d streams at a time", n)
	}
	cancel()
	wait()
	t.Logf("banned after %s, trial ended %s after its deadline; %d streams, %d refused, %d floods cut off",
		banned, late, f.streams.Load(), f.refused.Load(), f.cut.Load())
	w.until("the page", func() bool { status, _ := w.ask("GET", "/api/status", ""); return status == http.StatusOK })
}
