package policy

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"moonlatch/engine/policy/sandbox"
	"moonlatch/engine/ruleset"
)

// FuzzLoad loads whatever the fuzzer makes of good and bad policies. A load
// must end, without a panic, in a ruleset that renders or in mistakes that say
// something; handlers must run on any packet.
func FuzzLoad(f *testing.F) {
	for _, file := range policies(f) {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(a.Files[0].Data))
	}
	for _, name := range []string{"rules", "values", "declarations", "module"} {
		data, err := os.ReadFile("testdata/mistakes/" + name + ".lua")
		if err != nil {
			f.Fatal(err)
		}
		for source := range strings.SplitSeq(string(data), "---\n") {
			f.Add(prelude + source)
		}
	}
	f.Add(stagePrelude + showAll)
	f.Fuzz(func(t *testing.T, source string) {
		folder := fstest.MapFS{"policy.lua": {Data: []byte(source)}, "lists/bad.txt": {Data: []byte(badList)}}
		p, err := load(sandbox.Config{Files: folder, LoadBudget: 100_000, LoadDeadline: time.Second}, "policy.lua", testEnv())
		if err != nil {
			if strings.Contains(err.Error(), "runtime error") || strings.Contains(err.Error(), "nil pointer") {
				t.Fatalf("the loader broke: %v", err)
			}
			return
		}
		defer p.Close()
		p.Ruleset().Render(ruleset.Options{Generation: 1, Trial: true})
		for _, h := range p.Handlers() {
			pkt := syn()
			h.Match(pkt)
			if err := p.Handle(h, "rule", pkt); err != nil && strings.Contains(err.Error(), "runtime error") {
				t.Fatalf("a handler broke the engine: %v", err)
			}
		}
	})
}

// FuzzValues reads the little languages inside of strings.
func FuzzValues(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "192.0.2.0/24", "192.0.2.1-192.0.2.9", "::ffff:10.0.0.0/104", "fe80::1%eth0", "6000-6100", "ssh", "200/s burst 50 per src/24", "syn/fin,syn,rst,ack", "1h30m", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := parseAddress(s); err == nil && (!r.IsValid() || r.From().Is4In6()) {
			t.Errorf("address %q: %v", s, r)
		}
		if p, err := parseTarget(s); err == nil && (!p.IsValid() || p != p.Masked()) {
			t.Errorf("target %q: %v", s, p)
		}
		if len(s) < 20 && !strings.ContainsAny(s, "abcdefghijklmnopqrstuvwxyz") { // no look-ups
			if r, err := parsePort(s, "tcp"); err == nil && r.From > r.To {
				t.Errorf("port %q: %v", s, r)
			}
		}
		if d, err := ParseDuration(s); err == nil && d <= 0 {
			t.Errorf("time %q: %v", s, d)
		}
		if out := printable(s, 100); len(out) > 100 || strings.ContainsAny(out, "\n\x1b") {
			t.Errorf("printable %q: %q", s, out)
		}
	})
}
