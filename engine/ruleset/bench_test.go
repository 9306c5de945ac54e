package ruleset

import (
	"fmt"
	"testing"
)

// BenchmarkRender renders 10,000 rules, as every apply does.
func BenchmarkRender(b *testing.B) {
	r := thousands(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		r.Render(Options{Generation: 1, Trial: true})
	}
}

// BenchmarkDigest renders them, too, and hashes the text.
func BenchmarkDigest(b *testing.B) {
	r := thousands(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		r.Digest()
	}
}

// thousands is a ruleset of so many rules, no two of them alike.
func thousands(tb testing.TB, n int) *Ruleset {
	c := &Chain{Name: "input", Hook: "input", Type: "filter", Priority: "filter", Policy: "accept"}
	for i := range n {
		port := uint16(1024 + i)
		c.Rules = append(c.Rules, &Rule{
			Name: fmt.Sprintf("rule %d", i), Pos: Pos{"policy.lua", i + 1}, Items: []Item{Verdict{Kind: "accept"}},
			Fields: []Field{
				Addr{Addrs: addrs(tb, fmt.Sprintf("10.%d.%d.0/24", i>>8, i&0xff))},
				Ports{Proto: "tcp", Dir: Dst, Ranges: []PortRange{{port, port}}},
			},
		})
	}
	return &Ruleset{Chains: []*Chain{c}}
}
