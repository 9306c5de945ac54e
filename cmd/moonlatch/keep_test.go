package main

import (
	"net"
	"testing"
)

// knocking lets in who knocked at a port before, for as long as the set remembers it.
const knocking = `
local fw = require "moonlatch"
local seen = fw.set "seen" { dynamic = true, timeout = "1h", keep = true }
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert" }, fw.accept }
input { "knock", tcp = 7000, fw.add(seen, "src"), fw.drop }
input { "ssh", tcp = 22, src = seen, fw.accept }
`

// TestKeptSet: who knocked is let in through applies, trials and rollbacks.
func TestKeptSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.policy("knock.lua", knocking)
	w.ok("apply", path)
	w.ok("confirm")
	address := net.JoinHostPort(serverForClient, "22")
	if reaches(w.client, address) {
		t.Fatal("ssh is open before anybody knocked")
	}
	must(t, syn(w.client, "", net.JoinHostPort(serverForClient, "7000")))
	for _, step := range [][]string{nil, {"apply", path}, {"confirm"}, {"apply", path}, {"rollback"}} {
		if step != nil {
			w.ok(step...)
		}
		if !reachesWithin(w.client, address, generous) {
			t.Errorf("after %q, who knocked is not let in", step)
		}
		if reaches(w.attacker, net.JoinHostPort(serverForAttacker, "22")) {
			t.Errorf("after %q, somebody who did not knock is let in", step)
		}
	}
}
