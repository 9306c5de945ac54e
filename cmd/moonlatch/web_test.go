package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/control"
)

// webAddress is where a world's page is served, on the server's loopback.
const webAddress = "127.0.0.1:9632"

const (
	before = `local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "loopback", iif = "lo", fw.accept }
input { "replies",  ct = { "established", "related" }, fw.accept }
input { "ssh",      tcp = 22, fw.accept }
`
	after = `local fw = require "moonlatch"
local closed = fw.stream "closed"
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "loopback", iif = "lo", fw.accept }
input { "replies",  ct = { "established", "related" }, fw.accept }
input { "web",      tcp = 443, fw.accept }
input { "closed",   closed, fw.drop }
fw.detect "portscan" { on = closed, count = "distinct dport", per = "src", over = 5, within = "60s", ban = "1h" }
`
)

// ask asks the page's server, from the server itself.
func (w *world) ask(method, path, body string, headers ...string) (status int, text string) {
	w.t.Helper()
	client := http.Client{Timeout: generous, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			err = w.server.Do(func() (err error) { c, err = new(net.Dialer).DialContext(ctx, network, addr); return err })
			return c, err
		},
	}}
	req, err := http.NewRequest(method, "http://"+webAddress+path, strings.NewReader(body))
	must(w.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	must(w.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return resp.StatusCode, string(b)
}

// TestWebCalls: what the page shows of rules and of a trial is what the kernel
// has, and its token confirms.
func TestWebCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("--web", webAddress)
	w.ok("apply", w.policy("web.lua", before))
	w.ok("confirm")
	for range 3 {
		if !reachesWithin(w.client, serverForClient+":22", generous) {
			t.Fatal("ssh does not answer")
		}
	}
	var rules control.RuleList
	w.read("rules", &rules)
	ssh := slices.IndexFunc(rules.Rules, func(r control.Rule) bool { return r.Name == "ssh" })
	if rules.Generation != 1 || len(rules.Rules) != 3 || ssh != 2 || rules.Rules[2].Packets != 3 || rules.Rules[2].Bytes == 0 ||
		rules.Rules[2].Chain != "input" || !strings.Contains(rules.Rules[2].Head, "hook input") || !strings.Contains(rules.Rules[2].Text[0], "tcp dport 22") {
		t.Errorf("rules: %+v", rules)
	}
	if status, text := w.ask("GET", "/api/changes", ""); status != http.StatusConflict || !strings.Contains(text, "no_trial") {
		t.Errorf("what changes without a trial: %d %s", status, text)
	}
	w.ok("apply", w.policy("web.lua", after))
	var changes control.ChangeList
	w.read("changes", &changes)
	got := map[string]string{}
	for _, c := range changes.Changes {
		if c.Kind == "rule" {
			got[c.Name] = c.Action
		}
	}
	if changes.Trial.Number != 2 || changes.Against.Number != 1 || got["web"] != "added" || got["closed"] != "added" || got["ssh"] != "removed" || got["replies"] != "" {
		t.Errorf("changes: %v of %+v", got, changes)
	}
	token := strings.TrimSpace(w.ok("web", "token"))
	if status, text := w.ask("POST", "/api/confirm", `{"generation": 3}`, "X-Moonlatch-Token", token); status == http.StatusOK {
		t.Errorf("a confirm of another generation: %s", text)
	}
	if status, text := w.ask("POST", "/api/confirm", `{"generation": 2}`, "X-Moonlatch-Token", token); status != http.StatusOK || !strings.Contains(text, `"generation":2`) {
		t.Errorf("confirm: %d %s", status, text)
	}
	if s := w.status(); s.State != control.Filtering || s.Confirmed.Number != 2 {
		t.Errorf("after the confirm: %+v", s)
	}
	if status, text := w.ask("GET", "/metrics", ""); status != http.StatusOK || !strings.Contains(text, "\nmoonlatch_up 1\n") {
		t.Errorf("metrics: %d", status)
	}
	if renewed := strings.TrimSpace(w.ok("web", "token", "--new")); renewed == token {
		t.Error("--new printed the old token")
	}
	if status, _ := w.ask("POST", "/api/rollback", "{}", "X-Moonlatch-Token", token); status != http.StatusForbidden {
		t.Errorf("the old token: %d", status)
	}
}

// read reads one of the page's documents.
func (w *world) read(name string, into any) {
	w.t.Helper()
	status, text := w.ask("GET", "/api/"+name, "")
	if status != http.StatusOK {
		w.t.Fatalf("%s: %d %s", name, status, text)
	}
	must(w.t, json.Unmarshal([]byte(text), into))
}

// TestWebAddress: a page that others could open is not served without TLS and a password.
func TestWebAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := w.command("run", "--metrics", "", "--web", "0.0.0.0:9632")
	context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	var log lockedBuffer
	cmd.Stderr = &log
	must(t, w.server.Start(cmd))
	if cmd.Wait(); cmd.ProcessState.ExitCode() != exitFailure || !strings.Contains(log.String(), "which other hosts can reach: there is no --web-config") {
		t.Errorf("exit code %d: %s", cmd.ProcessState.ExitCode(), &log)
	}
}
