package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"moonlatch/engine/replay"
)

// TestShadow has a stricter policy look at what comes in to a running daemon: it would ban, and bans nobody.
func TestShadow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, errs, code := w.run("shadow", w.policy("strict.lua", scanned)); code != exitUnreachable || !strings.Contains(errs, "no daemon is running") {
		t.Errorf("without a daemon: code %d, %s", code, errs)
	}
	w.start()
	w.ok("apply", w.policy("lax.lua", strings.Replace(scanned, "over = 10", "over = 1000", 1)))
	w.ok("confirm")
	if _, errs, code := w.run("shadow", w.policy("bad.lua", "fw.chian()")); code != exitPolicy {
		t.Errorf("a policy with a mistake: code %d, %s", code, errs)
	}
	out, cmd := w.startShadow("--for", "12s")
	for port := 1000; port < 1012; port++ {
		knock(t, w, port)
	}
	if _, errs, _ := w.run("shadow", w.dir+"/strict.lua"); !strings.Contains(errs, "one shadow at a time") {
		t.Errorf("a second one: %s", errs)
	}
	must(t, cmd.Wait())
	var r replay.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if bans := r.Policy.Bans; len(bans) != 1 || bans[0].Target != attacker4 || bans[0].Evidence == nil || len(bans[0].Evidence.Ports) != 11 {
		t.Errorf("would have banned %+v", bans)
	}
	if bans := w.bans(); len(bans) != 0 {
		t.Errorf("banned for real: %v", bans)
	}
	// Ctrl-C ends one as well, and the daemon notices.
	out, cmd = w.startShadow("--for", "1h")
	must(t, cmd.Process.Signal(os.Interrupt))
	if err := cmd.Wait(); err != nil || !json.Valid(out.Bytes()) {
		t.Errorf("ended by Ctrl-C: %v, %s", err, out)
	}
	w.until("there can be another", func() bool {
		_, _, code := w.run("shadow", w.dir+"/strict.lua", "--for", "10ms")
		return code == 0
	})
}

// startShadow starts a shadow of strict.lua, and waits until it listens.
func (w *world) startShadow(args ...string) (out *bytes.Buffer, cmd *exec.Cmd) {
	w.t.Helper()
	cmd = w.command(append([]string{"shadow", "-o", "json", w.dir + "/strict.lua"}, args...)...)
	out = new(bytes.Buffer)
	cmd.Stdout = out
	must(w.t, w.server.Start(cmd))
	w.until("the shadow listens", func() bool { // its policy starts with the first bytes
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
		for _, list := range lists {
			children, _ := os.ReadFile(list)
			for _, pid := range strings.Fields(string(children)) {
				if command, _ := os.ReadFile("/proc/" + pid + "/cmdline"); strings.Contains(string(command), replayInside) {
					return true
				}
			}
		}
		return false
	})
	return out, cmd
}
