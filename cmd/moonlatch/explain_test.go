package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"moonlatch/engine/control"
	"moonlatch/engine/geo/geotest"
)

// TestExplain asks a daemon about a scanner that it banned, one that a trap caught, and somebody who is protected.
func TestExplain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	countries, networks := filepath.Join(w.dir, "country.mmdb"), filepath.Join(w.dir, "asn.mmdb")
	must(t, errors.Join(geotest.Country(countries, map[string]string{"203.0.113.0/24": "DE"}), geotest.ASN(networks, map[string]uint32{"203.0.113.0/24": 64500})))
	w.ok("apply", w.policy("web.lua", scanned+fmt.Sprintf(`fw.geo { country = %q, asn = %q }`, countries, networks)+`fw.protect { "198.51.100.7" }
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
	if e.Country != "DE" || e.ASN != 64500 || e.Network != "Network 64500" || e.Bans[0].Country != "DE" || w.bans()[attacker4].Country != "DE" {
		t.Errorf("of %+v, its ban of %+v", e.Location, e.Bans[0].Location)
	}
	if out := w.ok("history", attacker4); !strings.Contains(out, attacker4+" (DE) until ") {
		t.Errorf("the history has no country:\n%s", out)
	}
	for target, want := range map[string][]string{
		attacker4:     {attacker4 + " is of DE, AS64500 (Network 64500).", ":22 syn, in by eth0: drop: banned as 203.0.113.9, by portscan: 11 ports in ", ":443 syn, in by eth0: drop: banned as "},
		"203.0.113.8": {`:22 syn, in by eth0: drop by "closed" of chain input, at `, `:443 syn, in by eth0: accept by "web" of chain input, at `},
		client4:       {`:443 syn, in by eth0: accept by "web"`},
	} {
		out := w.ok("explain", "--trace", target)
		for _, s := range want {
			if !strings.Contains(out, s) {
				t.Errorf("%s: %q is missing:\n%s", target, s, out)
			}
		}
	}
	if e := w.explain(client4); len(e.Protected) == 0 || e.Protected[0].By != "the policy" || len(e.Bans) != 0 {
		t.Errorf("protected: %+v", e)
	}
	w.kill() // the kernel still knows why, though not the ports
	if e := w.explain(attacker4); e.Country != "DE" || e.ASN != 64500 {
		t.Errorf("without the daemon it is of %+v", e.Location)
	}
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
	must(t, syn(w.attacker, "", fmt.Sprintf("%s:%d", serverForAttacker, port)))
}
