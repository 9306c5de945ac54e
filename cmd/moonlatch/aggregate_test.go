package main

import (
	"context"
	"fmt"
	"net"
	"testing"
)

// TestAggregationOutlastsDaemon: a daemon counts the neighbours that its predecessor banned.
func TestAggregationOutlastsDaemon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.ok("apply", w.policy("p.lua", establishedPolicy+`}`))
	w.ok("confirm")
	must(t, w.server.AddRoute("2001:db8:f00::/48", attacker6))
	knock := func(n int) {
		source := fmt.Sprintf("2001:db8:f00:%x::9", n)
		must(t, w.attacker.AddAddr("eth0", source+"/128"))
		must(t, w.attacker.Do(func() error {
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
			if c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(serverForAttacker6, "7")); err == nil {
				c.Close()
			}
			return nil
		}))
		w.until(source+" is banned", func() bool {
			_, banned := w.bans()[fmt.Sprintf("2001:db8:f00:%x::/64", n)]
			return banned || w.widened()
		})
	}
	for _, n := range []int{1, 2, 3, 4} {
		knock(n)
	}
	w.kill()
	if w.widened() {
		t.Fatal("four are too many")
	}
	w.start()
	for n := 5; n <= 7 && !w.widened(); n++ { // the daemon may not have read the kernel's bans yet
		knock(n)
	}
	if !w.widened() {
		t.Errorf("four neighbours from before and some more are not banned together: %v", w.bans())
	}
}

func (w *world) widened() bool {
	_, banned := w.bans()["2001:db8:f00::/56"]
	return banned
}
