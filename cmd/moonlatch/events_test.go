package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"moonlatch/engine/control"
)

const listening = `local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input", policy = "accept" }
local closed = fw.stream "closed"
input { "knock", tcp = 4444, closed, fw.drop }
fw.on(closed, function(ev) if ev.sport == 1 then error("never") end end)
`

// told asks for events and returns them.
func (w *world) told(args ...string) (out []control.Told) {
	w.t.Helper()
	for line := range strings.Lines(w.ok(append([]string{"events", "-o", "json"}, args...)...)) {
		var told control.Told
		must(w.t, json.Unmarshal([]byte(line), &told))
		out = append(out, told)
	}
	return out
}

// logLines are the daemon's log in JSON, those of a kind.
func (w *world) logLines(kind string) (out []map[string]any) {
	for line := range strings.Lines(w.daemonLog()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["kind"] == kind {
			out = append(out, m)
		}
	}
	return out
}

// TestEvents has a daemon tell what really happens, and log each thing in exactly one line.
func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, errs, code := w.run("run", "--metrics", "", "--syslog", "logs.example.org"); code != exitUsage || !strings.Contains(errs, "udp://logs.example.org:514") {
		t.Errorf("a server that is none: exit code %d, %s", code, errs)
	}
	file := filepath.Join(w.dir, "events.json")
	posted := w.webhook()
	targets := w.policy("notify.toml", "[targets.ops]\nformat = \"slack\"\nurl = \"http://127.0.0.1:8088/in\"\n")
	w.start("--log-format", "json", "--events-file", file, "--notify", targets)
	w.ok("notify", "test", "ops", "--notify", targets)
	if text := <-posted; !strings.Contains(text, "a test") {
		t.Errorf("the test sends %s", text)
	}
	if _, errs, code := w.run("notify", "test", "osp", "--notify", targets); code != exitFailure || !strings.Contains(errs, `did you mean "ops"?`) {
		t.Errorf("an unknown target: exit code %d, %s", code, errs)
	}
	path := w.policy("web.lua", listening)
	w.ok("apply", "--confirm", "60s", path)
	w.ok("confirm")
	w.ok("ban", "--for", "1h", "--why", "test", "203.0.113.77")
	w.ok("unban", "203.0.113.77")
	reaches(w.attacker, serverForAttacker+":4444")
	w.until("the packet is told", func() bool { return len(w.told("--kind", "event", "--src", attacker4)) > 0 })
	w.ok("apply", "--confirm", "60s", path)
	w.ok("rollback")
	w.ok("apply", "--confirm", "2s", path)
	w.until("the trial has ended", func() bool { return len(w.told("--kind", "trial_end")) > 0 })

	e := w.told("--kind", "event", "--port", "4444")[0].Event
	if e.Stream != "closed" || e.Rule != "knock" || e.Verdict != "drop" || e.Iif != "att0" || e.Packet.Dport != 4444 || e.Packet.Src.String() != attacker4 {
		t.Errorf("event %+v", e)
	}
	var kinds []string
	for _, told := range w.told("--limit", "1000") {
		if told.Kind != "event" {
			kinds = append(kinds, string(told.Kind))
		}
	}
	if want := []string{"apply", "confirm", "ban", "unban", "apply", "rollback", "apply", "trial_end"}; !slices.Equal(kinds, want) {
		t.Errorf("told %v, want %v", kinds, want)
	}
	for kind, n := range map[string]int{"apply": 3, "confirm": 1, "ban": 1, "unban": 1, "rollback": 1, "trial_end": 1} {
		w.until("the log tells of each "+kind, func() bool { return len(w.logLines(kind)) >= n })
		if got := len(w.logLines(kind)); got != n {
			t.Errorf("%d lines of the log are of kind %s, want %d\n%s", got, kind, n, w.daemonLog())
		}
	}
	if by, _ := w.logLines("rollback")[0]["by"].(string); !strings.Contains(by, "uid 0") {
		t.Errorf("the log does not tell who rolled back: %q", by)
	}
	if out := w.ok("events", "--kind", "event", "--limit", "1"); !strings.Contains(out, "drop knock: "+attacker4) {
		t.Errorf("as text: %s", out)
	}
	w.until("the packet is in the file", func() bool {
		text, _ := os.ReadFile(file)
		return strings.Contains(string(text), `"rule":"knock"`) && strings.Contains(string(text), `"kind":"trial_end"`)
	})
	select {
	case text := <-posted:
		if !strings.Contains(text, "generation=3") {
			t.Errorf("the webhook is told %s", text)
		}
	case <-time.After(generous):
		t.Error("the webhook is not told of the trial's end")
	}
	w.levels()
}

// webhook serves one on the server's loopback and returns what it is sent.
func (w *world) webhook() <-chan string {
	w.t.Helper()
	posted := make(chan string, 16)
	must(w.t, w.server.Do(func() error {
		l, err := net.Listen("tcp", "127.0.0.1:8088")
		if err != nil {
			return err
		}
		s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			posted <- string(body)
		})}
		w.t.Cleanup(func() { s.Close() })
		go s.Serve(l)
		return nil
	}))
	return posted
}

// levels changes the level of the daemon's log by command and by signal.
func (w *world) levels() {
	w.t.Helper()
	if out := w.ok("log-level"); !strings.Contains(out, "level info") {
		w.t.Errorf("the level is %s", out)
	}
	w.ok("log-level", "warn")
	w.ok("ban", "--for", "1h", "203.0.113.78")
	must(w.t, w.daemon.Process.Signal(syscall.SIGUSR1))
	w.until("the level is debug", func() bool { return strings.Contains(w.ok("log-level"), "level debug") })
	w.says(`"to":"debug"`)
	if n := len(w.logLines("ban")); n != 1 {
		w.t.Errorf("a ban is logged at level warn:\n%s", w.daemonLog())
	}
	must(w.t, w.daemon.Process.Signal(syscall.SIGUSR2))
	w.until("the level is what it was at the start", func() bool { return strings.Contains(w.ok("log-level"), "level info") })
	if _, errs, code := w.run("log-level", "loud"); code != exitUsage {
		w.t.Errorf("level loud: exit code %d, %s", code, errs)
	}
}

// TestEventsFollow follows a daemon, and the one that comes after it.
func TestEventsFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, errs, code := w.run("events", "--follow"); code != exitUnreachable || !strings.Contains(errs, "moonlatch run") {
		t.Errorf("without a daemon: exit code %d, %s", code, errs)
	}
	if _, errs, code := w.run("events", "--kind", "bna"); code != exitUsage || !strings.Contains(errs, `did you mean "ban"?`) {
		t.Errorf("a kind that there is not: exit code %d, %s", code, errs)
	}
	w.start()
	follow := w.command("events", "--follow", "--kind", "ban", "-o", "json")
	out, err := follow.StdoutPipe()
	must(t, err)
	errs := &lockedBuffer{}
	follow.Stderr = errs
	must(t, w.server.Start(follow))
	t.Cleanup(func() { follow.Process.Kill() })
	lines := make(chan string, 16)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()
	next := func(target string) {
		t.Helper()
		w.ok("ban", "--for", "1h", target)
		select {
		case line := <-lines:
			if !strings.Contains(line, target) || !strings.Contains(line, `"apiVersion":"moonlatch/v1"`) {
				t.Errorf("line %s, want a ban of %s", line, target)
			}
		case <-time.After(generous):
			t.Fatalf("the ban of %s is not told; %s", target, errs)
		}
	}
	next("203.0.113.71")
	w.kill()
	w.until("the follower says that the daemon has gone", func() bool { return strings.Contains(errs.String(), "has gone") })
	w.start()
	next("203.0.113.72")
	if !strings.Contains(errs.String(), "is back") {
		t.Errorf("the follower says %s", errs)
	}
	must(t, follow.Process.Signal(syscall.SIGINT))
	if err := follow.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v, %s", err, errs)
	}
}
