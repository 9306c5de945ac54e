package lint_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/fstest"

	"moonlatch/engine/lint"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
)

const frame = `local fw = require "moonlatch"
local accept, drop, reject = fw.accept, fw.drop, fw.reject
local admins = fw.set "admins" { "192.0.2.0/28", "2001:db8::/48" }
local seen = fw.set "seen" { dynamic = true }
local web = fw.set "web" { 80, 443 }
local closed = fw.stream "closed"
`

func load(t *testing.T, source string) *ruleset.Ruleset {
	t.Helper()
	p, err := policy.Load(fstest.MapFS{"p.lua": {Data: []byte(frame + source)}}, "p.lua", policy.Env{})
	if err != nil {
		t.Fatalf("%s\n%v", source, err)
	}
	t.Cleanup(p.Close)
	return p.Ruleset()
}

func TestCoveredRules(t *testing.T) {
	for _, test := range []struct {
		wide, narrow string
		covered      bool
	}{
		{`drop`, `tcp = 22, accept`, true},
		{`tcp = 22, accept`, `tcp = 22, drop`, true},
		{`tcp = { 22, 80 }, accept`, `tcp = 22, src = admins, drop`, true},
		{`tcp = web, accept`, `tcp = 443, drop`, true},
		{`tcp = true, accept`, `tcp = 22, drop`, true},
		{`tcp = true, accept`, `tcp = true, sport = 22, drop`, true},
		{`proto = { "tcp", "udp" }, accept`, `udp = 53, drop`, true},
		{`not_proto = "icmp", accept`, `udp = 53, drop`, true},
		{`src = "192.0.2.0/24", drop`, `src = "192.0.2.1", accept`, true},
		{`src = admins, drop`, `src = "192.0.2.1-192.0.2.9", accept`, true},
		{`iif = "wg*", accept`, `iif = "wg0", drop`, true},
		{`iif = "w*", accept`, `iif = "wg*", drop`, true},
		{`ct = { "new", "invalid" }, drop`, `ct = "new", tcp = 22, accept`, true},
		{`icmp = true, accept`, `icmp = "echo-request", drop`, true},
		{`mark = 1, accept`, `mark = 1, tcp = 22, drop`, true},
		{`tcp = 22, closed, drop`, `tcp = 22, accept`, true},
		{`tcp = 23, fw.trap "1h", drop`, `tcp = 23, accept`, true},

		{`tcp = 22, src = admins, accept`, `tcp = 22, drop`, false},
		{`tcp = 22, accept`, `tcp = { 22, 23 }, drop`, false},
		{`tcp = 22, accept`, `udp = 22, drop`, false},
		{`tcp = 22, accept`, `tcp = true, sport = 22, drop`, false},
		{`tcp = 22, accept`, `not_tcp = 22, drop`, false},
		{`not_tcp = 22, accept`, `tcp = 22, drop`, false},
		{`tcp = 22, limit = "10/s", accept`, `tcp = 22, drop`, false},
		{`tcp = 22, connlimit = "over 5 per src", drop`, `tcp = 22, accept`, false},
		{`tcp = 22, quota = "10 mbytes", accept`, `tcp = 22, drop`, false},
		{`tcp = 22, "ct mark 1", accept`, `tcp = 22, drop`, false},
		{`tcp = 22, closed`, `tcp = 22, drop`, false},
		{`tcp = 22, fw.continue`, `tcp = 22, drop`, false},
		{`src = "192.0.2.1", drop`, `src = "192.0.2.0/24", accept`, false},
		{`src = "192.0.2.0/24", drop`, `dst = "192.0.2.1", accept`, false},
		{`src = "192.0.2.0/24", drop`, `not_src = "192.0.2.1", accept`, false},
		{`not_src = "192.0.2.0/24", drop`, `src = "192.0.2.1", accept`, false},
		{`src = seen, drop`, `src = "192.0.2.1", accept`, false},
		{`src = "192.0.2.0/24", drop`, `src = seen, accept`, false},
		{`iif = "wg0", accept`, `iif = "wg*", drop`, false},
		{`iif = "wg0", accept`, `oif = "wg0", drop`, false},
		{`not_iif = "wg0", accept`, `iif = "wg0", drop`, false},
		{`ct = "new", accept`, `ct = { "new", "established" }, drop`, false},
		{`icmp = "echo-request", accept`, `icmp = true, drop`, false},
		{`mark = 1, accept`, `mark = 2, drop`, false},
		{`time = "09:00-17:00", accept`, `tcp = 22, drop`, false},
	} {
		r := load(t, fmt.Sprintf("local c = fw.chain \"c\" { hook = \"forward\" }\nc { \"wide\", %s }\nc { \"narrow\", %s }", test.wide, test.narrow))
		got := lint.CoveredRules(r)
		if covered := len(got) == 1 && got[0].Rule.Name == "narrow" && got[0].By.Name == "wide"; covered != test.covered || len(got) > 1 {
			t.Errorf("{ %s } before { %s }: %v, want %v", test.wide, test.narrow, got, test.covered)
		}
	}
}

func TestReach(t *testing.T) {
	const chain = `local input = fw.chain "input" { hook = "input", policy = "drop" }` + "\n"
	for _, test := range []struct {
		name, source string
		drop         string // the rule, "policy", or "" where it may come in
	}{
		{"nothing", ``, ""},
		{"accept by policy", `fw.chain "input" { hook = "input" }`, ""},
		{"policy", chain, "policy"},
		{"forward only", `fw.chain "forward" { hook = "forward", policy = "drop" }`, ""},
		{"port open", chain + `input { "ssh", tcp = 22, accept }`, ""},
		{"other port open", chain + `input { "ssh", tcp = 2222, accept }`, "policy"},
		{"for admins", chain + `input { "ssh", tcp = 22, src = admins, accept }`, ""},
		{"for others", chain + `input { "ssh", tcp = 22, not_src = admins, accept }`, "policy"},
		{"replies only", chain + `input { "replies", ct = "established", accept }`, "policy"},
		{"loopback only", chain + `input { "lo", iif = "lo", accept }`, "policy"},
		{"any interface but lo", chain + `input { "lan", not_iif = "lo", accept }`, ""},
		{"perhaps by interface", chain + `input { "lan", iif = "eth0", accept }`, ""},
		{"perhaps by text", chain + `input { "text", "tcp dport 22 accept" }`, ""},
		{"rule drops", chain + `input { "bad", src = "192.0.2.0/24", drop }; input { "ssh", tcp = 22, accept }`, "bad"},
		{"drop behind accept", chain + `input { "ssh", tcp = 22, accept }; input { "bad", src = "192.0.2.0/24", drop }`, ""},
		{"drop behind perhaps", chain + `input { "ssh", tcp = 22, iif = "eth0", accept }; input { "rest", drop }`, ""},
		{"limit", chain + `input { "ssh", tcp = 22, limit = "3/min", accept }`, ""},
		{"perhaps dropped", `local input = fw.chain "input" { hook = "input" }; input { "bad", mark = 1, drop }`, ""},
		{"rejected", `local input = fw.chain "input" { hook = "input" }; input { "no ssh", tcp = 22, reject }`, "no ssh"},
		{"udp only", `local input = fw.chain "input" { hook = "input" }; input { "no udp", udp = 22, drop }`, ""},
		{"syn", `local input = fw.chain "input" { hook = "input" }; input { "new", flags = "syn", drop }`, "new"},
		{"early", `local early = fw.chain "early" { hook = "prerouting", priority = "raw" }; early { "no ssh", tcp = 22, drop }`, "no ssh"},
		{"jump", `local sub = fw.chain "sub" {}; ` + chain + `input { "ssh", tcp = 22, fw.jump(sub) }; sub { "admins", src = admins, accept }`, ""},
		{"jump back", `local sub = fw.chain "sub" {}; ` + chain + `input { "ssh", tcp = 22, fw.jump(sub) }; sub { "others", not_src = admins, accept }`, "policy"},
		{"jump drops", `local sub = fw.chain "sub" {}; ` + chain + `input { "ssh", tcp = 22, fw.jump(sub) }; input { "all", accept }; sub { "no", drop }`, "no"},
		{"jump perhaps", `local sub = fw.chain "sub" {}; ` + chain + `input { "ssh", iif = "eth0", fw.jump(sub) }; sub { "ok", accept }`, ""},
		{"goto", `local sub = fw.chain "sub" {}; ` + chain + `input { "ssh", tcp = 22, fw.goto_(sub) }; input { "all", accept }; sub { "none", udp = 1, accept }`, "policy"},
		{"return", chain + `input { "back", tcp = 22, fw.return_ }; input { "all", accept }`, "policy"},
		{"vmap", chain + `input { "by port", tcp = true, fw.vmap { [22] = accept } }`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := lint.Reach(load(t, test.source), netip.MustParseAddr("192.0.2.5"), 22)
			got := ""
			switch {
			case d != nil && d.Rule != nil:
				got = d.Rule.Name
			case d != nil:
				got = "policy"
			}
			if got != test.drop {
				t.Errorf("dropped by %q, want %q", got, test.drop)
			}
		})
	}
}

// A ruleset whose chains lead in a circle, which no policy gives, has no end, but the looking has.
func TestCircle(t *testing.T) {
	a, b := &ruleset.Chain{Name: "a"}, &ruleset.Chain{Name: "b"}
	jump := func(to *ruleset.Chain) []*ruleset.Rule {
		return []*ruleset.Rule{{Name: "on", Items: []ruleset.Item{ruleset.Verdict{Kind: "jump", To: to}}}}
	}
	input := &ruleset.Chain{Name: "input", Hook: "input", Type: "filter", Policy: "drop", Rules: jump(a)}
	a.Rules, b.Rules = jump(b), jump(a)
	r := &ruleset.Ruleset{Chains: []*ruleset.Chain{input, a, b}}
	if d := lint.Reach(r, netip.MustParseAddr("192.0.2.5"), 22); d != nil {
		t.Errorf("dropped for certain: %+v", d)
	}
	if loop := lint.Loop(r); len(loop) != 3 || loop[0] != a || loop[1] != b || loop[2] != a {
		t.Errorf("the loop is %v", loop)
	}
}

// A long chain is looked at as far as that takes no time.
func TestLongChain(t *testing.T) {
	c := &ruleset.Chain{Name: "c", Hook: "input"}
	for i := range 20_000 {
		port := uint16(i)
		c.Rules = append(c.Rules, &ruleset.Rule{Name: fmt.Sprint(i), Fields: []ruleset.Field{ruleset.Ports{Proto: "tcp", Dir: ruleset.Dst, Ranges: []ruleset.PortRange{{From: port, To: port}}}}, Items: []ruleset.Item{ruleset.Verdict{Kind: "drop"}}})
	}
	c.Rules = slices.Insert(c.Rules, 10, &ruleset.Rule{Name: "again", Fields: c.Rules[3].Fields, Items: c.Rules[3].Items})
	if got := lint.CoveredRules(&ruleset.Ruleset{Chains: []*ruleset.Chain{c}}); len(got) != 1 || got[0].Rule.Name != "again" {
		t.Errorf("covered: %v", got)
	}
}
