package main

import (
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestHungDaemon: beside a daemon that does not answer, what only looks is told by the kernel and the disk, and
// what would change something is refused in time, and says what to do.
func TestHungDaemon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.ok("apply", "--confirm", "10m", w.policy("p.lua", goodPolicy))
	must(t, w.daemon.Process.Signal(syscall.SIGSTOP))
	var asking sync.WaitGroup
	for _, command := range []string{"status", "bans", "explain " + attacker4, "history"} {
		asking.Go(func() {
			if _, errs, code := w.run(strings.Fields(command)...); code != 0 || !strings.Contains(errs, "hangs, or was stopped: this is what the kernel and the disk tell") {
				t.Errorf("%s: exit code %d, %s", command, code, errs)
			}
		})
	}
	for _, command := range []string{"confirm", "rollback", "ban " + attacker4, "unban " + attacker4, "log-level debug", "events", "protect add " + attacker4} {
		asking.Go(func() {
			if _, errs, code := w.run(strings.Fields(command)...); code != 4 || !strings.Contains(errs, "hangs, or was stopped") || !strings.Contains(errs, "kill -9") {
				t.Errorf("%s: exit code %d, %s", command, code, errs)
			}
		})
	}
	asking.Wait()
	w.kill()
	w.ok("confirm")
}
