package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"moonlatch/engine/control"
	"moonlatch/engine/netns/netnstest"
)

// TestBansOutlastKills kills the daemon a hundred times while bans are made, and finds
// each that was acknowledged: after the next start, and in the end after a boot.
func TestBansOutlastKills(t *testing.T) {
	t.Parallel()
	const kills = 100
	w := newWorld(t)
	var acknowledged []string
	next := 0
	for range kills {
		w.start()
		var mu sync.Mutex
		var making sync.WaitGroup
		for range 2 {
			making.Go(func() {
				c, err := control.Dial(w.socket())
				if err != nil {
					return
				}
				defer c.Close()
				for {
					mu.Lock()
					next++
					target := fmt.Sprintf("10.%d.%d.%d", next>>16&0xff, next>>8&0xff, next&0xff)
					mu.Unlock()
					if _, err := c.Ban(context.Background(), control.BanRequest{Target: target, For: time.Hour, Why: "a test"}); err != nil {
						return // the daemon is dead
					}
					mu.Lock()
					acknowledged = append(acknowledged, target)
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		w.kill()
		making.Wait()
	}
	w.allBanned("after the kills", acknowledged)

	boot := netnstest.New(t) // what a boot leaves of the kernel's rules: nothing
	w.server = boot
	cmd := w.command("restore")
	out, errs := &lockedBuffer{}, &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, errs
	must(t, boot.Start(cmd))
	cmd.Wait() // no generation was confirmed, which it says
	w.allBanned("after a boot", acknowledged)
	if len(acknowledged) < kills {
		t.Errorf("only %d bans in %d lives", len(acknowledged), kills)
	}
}

func (w *world) allBanned(when string, targets []string) {
	w.t.Helper()
	in, missing := w.bans(), 0
	for _, target := range targets {
		if b, ok := in[target]; !ok || b.Why != "a test" || b.By != "manual" {
			missing++
		}
	}
	if missing > 0 {
		w.t.Errorf("%s, %d of %d bans that were acknowledged are missing", when, missing, len(targets))
	}
	w.t.Logf("%s: %d bans", when, len(targets))
}

// TestFlushedBansGetTheirReasonsBack flushes everything under a running daemon.
func TestFlushedBansGetTheirReasonsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.ok("ban", "203.0.113.50", "--for", "1h", "--why", "a good reason")
	since := w.bans()["203.0.113.50"].Since
	time.Sleep(1100 * time.Millisecond)
	flush := exec.Command("nft", "flush", "ruleset")
	flush.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	must(t, w.server.Start(flush))
	must(t, flush.Wait())
	w.until("the ban has its reason back", func() bool { return w.bans()["203.0.113.50"].Why == "a good reason" })
	if now := w.bans()["203.0.113.50"].Since; now.Sub(since).Abs() > time.Second {
		t.Errorf("banned since %s, and after the flush since %s", since, now)
	}
}
