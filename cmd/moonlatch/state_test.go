package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// remembering is a policy that counts its runs from a number on, beyond its own life.
func remembering(from int) string {
	return goodPolicy + fmt.Sprintf(`
input { "loopback", iif = "lo", fw.accept }
local runs = fw.metric.counter("runs", "Runs of the policy.", { "from" })
fw.after("10ms", function()
	local n = (fw.recall("runs") or 0) + %d
	fw.remember("runs", n, "1h")
	runs:add(1, { from = %d })
	fw.log.info("runs: " .. n .. ".")
end)
`, from, from)
}

// says waits until the daemon's log holds a text.
func (w *world) says(text string) {
	w.t.Helper()
	w.until("the log says "+text, func() bool { return strings.Contains(w.daemonLog(), text) })
}

// kept waits until the state directory holds what was remembered.
func (w *world) kept(runs int) {
	w.t.Helper()
	w.until(fmt.Sprintf("%d runs are kept", runs), func() bool {
		b, err := os.ReadFile(filepath.Join(w.dir, "state", "remembered.json"))
		return err == nil && strings.Contains(string(b), fmt.Sprintf(`"value": %d,`, runs))
	})
}

// TestRemembered: what a policy remembers outlives a killed daemon, and what one on
// trial remembers is kept only if it is confirmed.
func TestRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("--metrics", "127.0.0.1:9631")
	w.ok("apply", w.policy("one.lua", remembering(1)))
	w.says("runs: 1.")
	w.ok("confirm")
	w.kept(1)
	w.kill()
	w.start("--metrics", "127.0.0.1:9631")
	w.says("runs: 2.")
	w.kept(2)

	hundred := w.policy("hundred.lua", remembering(100))
	w.ok("apply", hundred)
	w.says("runs: 102.")
	w.ok("rollback")
	w.says("runs: 3.")
	w.kept(3)

	w.ok("apply", hundred)
	w.says("runs: 103.")
	w.ok("confirm")
	w.kept(103)
	if got, want := w.scrape(), `moonlatch_custom_runs_total{from="100"} 1`; !strings.Contains(got, want) {
		t.Errorf("the metrics have no %s", want)
	}
	w.kill()
	w.start()
	w.says("runs: 203.")
}

// scrape reads the daemon's metrics.
func (w *world) scrape() string {
	w.t.Helper()
	c := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (c net.Conn, err error) {
		err = w.server.Do(func() (err error) {
			c, err = net.DialTimeout("tcp", "127.0.0.1:9631", generous)
			return err
		})
		return c, err
	}}}
	resp, err := c.Get("http://moonlatch/metrics")
	must(w.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return string(body)
}
