package policy

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"

	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/ruleset"
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
			if e.later() {
				continue
			}
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

// A name that is not available yet is answered with nft text that the kernel takes.
func TestInsteadTexts(t *testing.T) {
	n := netnstest.New(t)
	check := func(e Entry) {
		if !e.later() {
			t.Errorf("%s is available", e.Name)
		}
		if e.Instead == "-" {
			return
		}
		p := loadText(t, fmt.Sprintf(`local fw = require "moonlatch"; local c = fw.chain "c" { %s }; c { "rule", tcp = 80, %q }`, chainFor(e.Name), e.Instead), Env{})
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader("flush ruleset\n" + p.Ruleset().Render(ruleset.Options{}).String())
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := n.Start(cmd); err != nil {
			t.Fatal(err)
		}
		// ENOENT and EOPNOTSUPP: this kernel was built without the feature.
		if err := cmd.Wait(); err != nil && !strings.Contains(out.String(), "No such file or directory") && !strings.Contains(out.String(), "Operation not supported") {
			t.Errorf("%s: %s", e.Name, out.String())
		}
	}
	for _, m := range laterMembers() {
		check(m.Entry)
	}
}

// chainFor gives the options of a chain in which a statement is allowed.
func chainFor(statement string) string {
	switch statement {
	case "snat", "masquerade":
		return `hook = "postrouting", type = "nat"`
	case "dnat", "redirect", "map":
		return `hook = "prerouting", type = "nat"`
	case "notrack", "tproxy", "fib":
		return `hook = "prerouting", priority = "raw"`
	case "mss":
		return `hook = "forward"`
	}
	return `hook = "input"`
}
