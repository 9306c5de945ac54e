package main

import (
	"net"
	"os/exec"
	"strings"
	"testing"
)

// slowPolicy lets each source in once a minute.
const slowPolicy = `
local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "replies", ct = "established", fw.accept }
input { "ssh", tcp = 22, limit = "1/min burst 1 per src", fw.accept }
`

// TestFullLimitShutsNobodyOut fills the kernel's memory of a limit per source, as a
// flood of forged sources does.
func TestFullLimitShutsNobodyOut(t *testing.T) {
	w := confirmed(t, slowPolicy)
	if !reachesWithin(w.client, ssh, generous) {
		t.Fatal("the client's first connection is refused")
	}
	if reaches(w.client, ssh) {
		t.Error("the client's second connection within the minute is not refused")
	}
	fill := exec.Command("sh", "-c", `
set -e
for i in $(seq 0 65); do
	{
		printf 'add element inet moonlatch_1 limit.input.ssh.1.4 { '
		seq -f "10.$i.%.0f" 0 255 | sed 's/$/.1 timeout 5m, /' | tr -d '\n'
		seq -f "10.$i.%.0f" 0 255 | sed 's/$/.2 timeout 5m, /' | tr -d '\n'
		seq -f "10.$i.%.0f" 0 255 | sed 's/$/.3 timeout 5m, /' | tr -d '\n'
		seq -f "10.$i.%.0f" 0 255 | sed 's/$/.4 timeout 5m, /' | tr -d '\n'
		printf '}\n'
	} | nft -f - || break
done
nft list set inet moonlatch_1 limit.input.ssh.1.4 | tr ',' '\n' | grep -c expires`)
	var out strings.Builder
	fill.Stdout, fill.Stderr = &out, &out
	must(t, w.server.Start(fill))
	must(t, fill.Wait())
	for range 2 {
		if !reachesWithin(w.attacker, net.JoinHostPort(serverForAttacker, "22"), generous) {
			t.Errorf("with the limit's memory full (%s), a new source is shut out", out.String())
		}
	}
	if reaches(w.client, ssh) {
		t.Error("the client that is known exceeds the limit")
	}
}
