package policy

import (
	"strings"
	"testing"
	"testing/fstest"
)

// frame stands before every example.
const frame = `local fw = require "moonlatch"
local accept, drop = fw.accept, fw.drop
local admins = fw.set "administrators" { "192.0.2.0/28", "2001:db8::/48" }
local closed = fw.stream "closed_ports"
local ssh_in = fw.chain "ssh_in" {}
local input = fw.chain "incoming" { hook = "input" }
local output = fw.chain "outgoing" { hook = "output" }
local forward = fw.chain "forwarded" { hook = "forward" }
local early = fw.chain "mangling" { hook = "prerouting", priority = "mangle" }
local raw = fw.chain "untracked" { hook = "prerouting", priority = "raw" }
local dstnat = fw.chain "dst_nat" { hook = "prerouting", type = "nat" }
local srcnat = fw.chain "src_nat" { hook = "postrouting", type = "nat" }
local ingress = fw.chain "tap" { family = "netdev", hook = "ingress", device = "lo" }
`

// Every name has a line of documentation and an example, which loads.
func TestReferenceExamples(t *testing.T) {
	for _, s := range Reference() {
		seen := map[string]bool{}
		for _, e := range s.Entries {
			if seen[e.Name] {
				t.Errorf("%s.%s is listed twice", s.Title, e.Name)
			}
			seen[e.Name] = true
			if e.Doc == "" || !strings.Contains(e.Example, e.Name) {
				t.Errorf("%s.%s: doc %q, example %q", s.Title, e.Name, e.Doc, e.Example)
			}
			folder := fstest.MapFS{"policy.lua": {Data: []byte(frame + e.Example)}, "lists/drop.txt": {Data: []byte("192.0.2.1\n")}}
			p, err := Load(folder, "policy.lua", testEnv())
			if err != nil {
				t.Errorf("%s.%s: %v", s.Title, e.Name, err)
				continue
			}
			p.Close()
		}
	}
}
