package policy

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestBrake reads what a policy says of its bans, and nothing where it says nothing.
func TestBrake(t *testing.T) {
	of := netip.MustParsePrefix
	for _, tt := range []struct {
		source    string
		brake     Brake
		aggregate Aggregation
		names     []string
	}{
		{source: ``},
		{source: `fw.brake { bans = "100/min" }`, brake: Brake{Bans: 100, Per: time.Minute}},
		{source: `fw.brake { bans = "5/s", most = 1e5 }`, brake: Brake{Bans: 5, Per: time.Second, Most: 100000}},
		{source: `fw.brake { bans = "1000/day" }`, brake: Brake{Bans: 1000, Per: 24 * time.Hour}},
		{source: `fw.brake { bans = false }`, brake: Brake{AnyRate: true}},
		{source: `fw.brake { share = { "10% of 192.0.2.0/24", "5% of /16", "25% of /48", "100% of 2001:db8::/32" } }`, brake: Brake{Shares: []Share{
			{10, of("192.0.2.0/24"), 24, false}, {5, netip.Prefix{}, 16, false}, {25, netip.Prefix{}, 48, true}, {100, of("2001:db8::/32"), 32, true},
		}}},
		{source: `fw.brake { share = "7% of /28" }`, brake: Brake{Shares: []Share{{7, netip.Prefix{}, 28, false}}}},
		{source: `fw.aggregate { ipv6 = "/56", ipv4 = "/24", over = 8 }`, aggregate: Aggregation{Bits4: 24, Bits6: 56, Over: 8}},
		{source: `fw.aggregate { ipv6 = false }`, aggregate: Aggregation{Never6: true}},
		{source: `fw.protect { "Admin.example.net.", { "192.0.2.7", "a-b.example" } }; fw.protect "admin.example.net"`, names: []string{"admin.example.net", "a-b.example"}},
	} {
		p := loadText(t, prelude+tt.source, testEnv())
		if diff := cmp.Diff(tt.brake, p.Brake(), cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); diff != "" {
			t.Errorf("%s: brake (-want +got):\n%s", tt.source, diff)
		}
		if diff := cmp.Diff(tt.aggregate, p.Aggregation()); diff != "" {
			t.Errorf("%s: aggregation (-want +got):\n%s", tt.source, diff)
		}
		if diff := cmp.Diff(tt.names, p.ProtectedNames()); diff != "" {
			t.Errorf("%s: names (-want +got):\n%s", tt.source, diff)
		}
	}
}

// TestAnswers: what belongs to a ban besides its time, of a detector and of fw.ban.
func TestAnswers(t *testing.T) {
	p := loadText(t, prelude+`input { "closed", closed, drop }
fw.detect "a" { on = closed, over = 1, within = "1m", ban = "10y", kill = true, spare = "connected" }
fw.detect "b" { on = closed, over = 1, within = "1m", ban = "1h", kill = false }`, testEnv())
	if got := p.Detectors()[0].Answer; got != (Answer{SpareConnected: true, Kill: true}) {
		t.Errorf("the first: %+v", got)
	}
	if got := p.Detectors()[1].Answer; got != (Answer{}) {
		t.Errorf("the second: %+v", got)
	}
	s := newStage(t, `fw.on(closed, function(ev)
  fw.ban("192.0.2.1", "1h", { kill = true })
  fw.ban("192.0.2.2", "1h", "why", { spare = "connected" })
  fw.ban("192.0.2.3", "1h", "why")
  fw.ban("192.0.2.4", "1h", nil, { kill = true })
end)`)
	if err := s.handle(syn()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"192.0.2.1/32": `[1h0m0s] "" by handler policy.lua:5 {SpareConnected:false Kill:true}`,
		"192.0.2.2/32": `[1h0m0s] "why" by handler policy.lua:5 {SpareConnected:true Kill:false}`,
		"192.0.2.3/32": `[1h0m0s] "why" by handler policy.lua:5`,
		"192.0.2.4/32": `[1h0m0s] "" by handler policy.lua:5 {SpareConnected:false Kill:true}`,
	}
	got := map[string]string{}
	for p, b := range s.bans {
		got[p.String()] = b
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
