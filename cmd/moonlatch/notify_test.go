package main

import (
	"strings"
	"testing"
	"time"
)

const notifying = `local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input", policy = "accept" }
local closed = fw.stream "closed"
local ops = fw.target "ops"
input { "knock", tcp = 4444, closed, fw.drop }
fw.on(closed, function(ev)
  fw.notify(ops, { title = "a knock from " .. ev.src, text = "two\nlines", port = ev.dport })
  local other = "osp"
  local ok, why = fw.notify(other, "x")
  fw.log.info("answer: " .. tostring(ok) .. " " .. tostring(why))
end)
`

// TestNotify has a policy that runs tell a target, because of a packet.
func TestNotify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	posted := w.webhook()
	targets := w.policy("notify.toml", "[targets.ops]\nformat = \"slack\"\nurl = \"http://127.0.0.1:8088/in\"\n")
	w.start("--log-format", "json", "--notify", targets)
	wrong := w.policy("wrong.lua", strings.Replace(notifying, `fw.target "ops"`, `fw.target "osp"`, 1))
	if _, errs, code := w.run("apply", wrong); code != exitPolicy || !strings.Contains(errs, `wrong.lua:4: no target of notifications is called "osp" (did you mean "ops"?)`) {
		t.Errorf("a target that is not there: exit code %d, %s", code, errs)
	}
	if out := w.ok("status"); !strings.Contains(out, "everything passes") {
		t.Errorf("something was applied: %s", out)
	}
	w.checkTargets(targets, wrong)
	w.ok("apply", "--confirm", "60s", w.policy("web.lua", notifying))
	w.ok("confirm")
	reaches(w.attacker, serverForAttacker+":4444")
	select {
	case text := <-posted:
		for _, want := range []string{": a knock from " + attacker4 + `*\ntwo\nlines\nport: 4444\nby: web.lua:7"`} {
			if !strings.Contains(text, want) {
				t.Errorf("the webhook is told %s, want %s", text, want)
			}
		}
	case <-time.After(generous):
		t.Fatalf("the webhook is told nothing\n%s", w.daemonLog())
	}
	told := w.told("--kind", "notice")
	if len(told) == 0 || told[0].Notice.To != "ops" || told[0].Notice.By != "web.lua:7" || told[0].Notice.Fields[0].Value != "4444" {
		t.Errorf("the feed has %+v", told)
	}
	w.until("the policy is told why not", func() bool {
		return strings.Contains(w.daemonLog(), `answer: false no target of notifications is called \"osp\" (did you mean \"ops\"?)`)
	})
	if out := w.ok("history", "--kind", "notice"); !strings.Contains(out, "a knock from") {
		t.Errorf("the history: %s", out)
	}
	if _, errs, code := w.run("console", "-e", `fw.notify("ops", "x")`); code != exitFailure || !strings.Contains(errs, "--write") {
		t.Errorf("a console that reads: exit code %d, %s", code, errs)
	}
	if out := w.ok("console", "--write", "-e", `fw.notify("ops", "from the console")`); !strings.Contains(out, "true") {
		t.Errorf("a console that writes: %s", out)
	}
	w.until("the console's is told", func() bool { return strings.Contains(<-posted, "from the console") })
	w.untold()
}

// checkTargets has check compare names with a file of targets, and say so where it has none.
func (w *world) checkTargets(targets, wrong string) {
	w.t.Helper()
	const mistake = `no target of notifications is called "osp" (did you mean "ops"?)`
	text := w.policy("text.lua", strings.Replace(notifying, "fw.notify(other", `fw.notify("osp"`, 1))
	for policy, line := range map[string]string{wrong: "wrong.lua:4: ", text: "text.lua:9: "} {
		if _, errs, code := w.run("check", "--notify", targets, policy); code != exitPolicy || !strings.Contains(errs, line+mistake) {
			w.t.Errorf("check of %s: exit code %d, %s", policy, code, errs)
		}
	}
	if _, errs, code := w.run("apply", text); code != exitPolicy || !strings.Contains(errs, "text.lua:9: "+mistake) {
		w.t.Errorf("apply: exit code %d, %s", code, errs)
	}
	if out := w.ok("check", "--strict", "--notify", targets, w.policy("good.lua", notifying+"fw.protect '192.0.2.1'\n")); strings.Contains(out, "note: ") {
		w.t.Errorf("check: %s", out)
	}
	if out := w.ok("check", "--state", w.dir, wrong); !strings.Contains(out, `note: whether there are the targets of notifications "osp" is not known here: open /etc/moonlatch/notify.toml`) {
		w.t.Errorf("check without targets: %s", out)
	}
	if _, errs, code := w.run("check", "--notify", w.dir+"/none.toml", wrong); code != exitFailure || !strings.Contains(errs, "none.toml: no such file") {
		w.t.Errorf("check with a file that is not there: exit code %d, %s", code, errs)
	}
}

// untold starts the daemon without targets: the policy runs on, and an apply is done with a warning.
func (w *world) untold() {
	w.t.Helper()
	w.kill()
	w.start()
	w.until("the policy runs", func() bool { return strings.Contains(w.daemonLog(), "targets that are not there") })
	out, errs, code := w.run("apply", "--confirm", "60s", w.policy("web.lua", notifying+"-- again\n"))
	if code != exitOK || !strings.Contains(out+errs, "moonlatch run --notify FILE") {
		w.t.Errorf("without targets: exit code %d, %s%s", code, out, errs)
	}
}
