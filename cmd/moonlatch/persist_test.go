package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"moonlatch/engine/control"
	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/nft"
	"moonlatch/engine/store"
)

// TestBansOutlastKills kills the daemon again and again while bans are made, and finds
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
				c, err := control.Dial(t.Context(), w.socket())
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
		before := len(acknowledged)
		w.until("a ban is acknowledged", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(acknowledged) > before
		})
		time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
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
}

// TestRestoreKilled kills a restore on its way: the next one puts back what is missing, and leaves what is there.
func TestRestoreKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 20_000
	s, err := store.Open(t.Context(), store.Config{Dir: filepath.Join(w.dir, "state"), Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	since := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	for i := range n {
		target := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32)
		s.Keep(store.Ban{Target: target, Since: since, Until: since.Add(10 * time.Hour), Origin: "local", By: "portscan", Why: strconv.Itoa(i)})
	}
	must(t, s.Close())
	var kernel *nft.Client
	must(t, w.server.Do(func() error {
		kernel, err = nft.Open(nft.Config{})
		return err
	}))
	defer kernel.Close()
	first := netip.MustParsePrefix("10.1.0.0/32")
	begun := func() bool {
		_, ok, err := kernel.Element(nft.Table{Family: nft.Inet, Name: "moonlatch"}, "banned4", first)
		return ok && err == nil
	}
	killed := w.command("restore")
	must(t, w.server.Start(killed))
	ended := make(chan error)
	go func() { ended <- killed.Wait() }()
	for !begun() {
		select {
		case <-ended:
			t.Fatal("the restore has ended and put nothing back")
		case <-time.After(100 * time.Microsecond):
		}
	}
	killed.Process.Kill()
	<-ended
	t.Logf("killed with %d of %d bans in force", len(w.bans()), n)
	w.run("restore") // no generation was confirmed, which it says
	in := w.bans()
	for i := range n {
		b := in[fmt.Sprintf("10.1.%d.%d", i>>8, i&255)]
		if b.Why != strconv.Itoa(i) || b.By != "portscan" || b.Since.Sub(since).Abs() > generous || b.Until.Sub(since.Add(10*time.Hour)).Abs() > generous {
			t.Fatalf("after a second restore ban %d of %d in force is %+v", i, len(in), b)
		}
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
	w.until("it is a ban of then", func() bool { return w.bans()["203.0.113.50"].Since.Sub(since).Abs() < time.Second })
}
