package main

import (
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/control"
)

// TestExplain asks a daemon about a scanner that it banned, one that a trap caught, and somebody who is protected.
func TestExplain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.ok("apply", w.policy("web.lua", scanned+`fw.protect { "198.51.100.7" }
local early = fw.chain "early" { hook = "prerouting", priority = "mangle" }
early { "telnet", tcp = 23, fw.trap "24h", drop }
`))
	w.ok("confirm")
	for port := 1000; port < 1012; port++ {
		knock(t, w, port)
	}
	w.until("the scanner is banned", func() bool { _, banned := w.bans()[attacker4]; return banned })
	e := w.explain(attacker4)
	if len(e.Bans) != 1 || e.Bans[0].By != "portscan" || e.Bans[0].Place != "web.lua:8" {
		t.Fatalf("%+v", e.Bans)
	}
	if got := e.Bans[0].Evidence; got == nil || got.Count != 11 || got.Of != "ports" || len(got.Ports) != 11 || got.Ports[0] != 1000 || !got.First.Before(got.Last) {
		t.Errorf("evidence %+v", got)
	}
	text := w.ok("explain", attacker4)
	for _, want := range []string{" by detector portscan of web.lua:8: 11 ports in ", "(1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, …), the last at "} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	if e := w.explain(client4); len(e.Protected) == 0 || e.Protected[0].By != "the policy" || len(e.Bans) != 0 {
		t.Errorf("protected: %+v", e)
	}
	w.kill() // the kernel still knows why, though not the ports
	if e := w.explain(attacker4); len(e.Bans) != 1 || !strings.HasPrefix(e.Bans[0].Why, "11 ports in ") || e.Bans[0].Evidence != nil {
		t.Errorf("without the daemon: %+v", e.Bans)
	}
}

func (w *world) explain(target string) (e control.Explanation) {
	w.t.Helper()
	must(w.t, json.Unmarshal([]byte(w.ok("explain", "-o", "json", target)), &e))
	return e
}

// knock sends a SYN from the attacker.
func knock(t *testing.T, w *world, port int) {
	t.Helper()
	must(t, w.attacker.Do(func() error {
		addr := net.TCPAddr{IP: net.ParseIP(serverForAttacker), Port: port}
		if c, err := net.DialTimeout("tcp", addr.String(), 20*time.Millisecond); err == nil {
			c.Close()
		}
		return nil
	}))
}
