package metrics

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"moonlatch/engine"
)

// daemon is a Source that changes from one scrape to the next.
type daemon struct{ now engine.Snapshot }

func (d *daemon) PolicyMetrics() []prometheus.Metric { return nil }

func (d *daemon) Snapshot() engine.Snapshot { return d.now }

// TestCountersOnlyGrow scrapes through applies, trials and roll-backs. Each
// step says what the kernel's counter of a rule shows and what Prometheus must see.
func TestCountersOnlyGrow(t *testing.T) {
	type step struct {
		generation uint64
		trial      bool
		kernel     uint64
		want       float64
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"the first is as the kernel says", []step{{1, false, 1000, 1000}, {1, false, 1003, 1003}}},
		{"a new generation goes on", []step{{1, false, 1000, 1000}, {2, true, 4, 1004}, {2, false, 9, 1009}}},
		{"a roll-back is no flood", []step{{1, false, 1000, 1000}, {2, true, 4, 1004}, {1, false, 1001, 1005}}},
		{"a roll-back seen late", []step{{1, false, 1000, 1000}, {2, true, 4, 1004}, {2, false, 5, 1005}, {1, false, 1001, 1006}}},
		{"trials one after the other", []step{{1, false, 1000, 1000}, {2, true, 4, 1004}, {3, true, 7, 1011}, {1, false, 1002, 1013}}},
		{"a policy loaded anew", []step{{1, false, 1000, 1000}, {1, false, 6, 1006}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &daemon{}
			r := pedantic(t, New(), d)
			for i, s := range tt.steps {
				d.now.Generation, d.now.TrialDeadline = s.generation, time.Time{}
				if s.trial {
					d.now.TrialDeadline = time.Now()
				}
				d.now.Rules = []engine.RuleCount{{Chain: "input", Rule: "web", Verdict: "accept", Packets: s.kernel}}
				if got := value(t, r, "moonlatch_rule_packets_total", "input", "web", "accept"); got != s.want {
					t.Errorf("step %d, %+v: %v", i+1, s, got)
				}
			}
		})
	}
}

// TestLedgerForgets: neither generations nor rules that are gone stay in memory.
func TestLedgerForgets(t *testing.T) {
	l := newLedger()
	for g := range uint64(100) {
		for range 3 {
			l.open(g, false)
			l.total("x", 1, []string{string(rune('a' + g))})
		}
	}
	if len(l.last) != 1 || len(l.totals) != 1 {
		t.Errorf("%d generations and %d totals are kept, want one of each", len(l.last), len(l.totals))
	}
}
