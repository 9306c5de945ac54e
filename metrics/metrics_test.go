package metrics

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"moonlatch/engine"
	"moonlatch/engine/ban"
	"moonlatch/engine/blocklist"
	"moonlatch/engine/detect"
	"moonlatch/engine/feed"
	"moonlatch/engine/policy"
	"moonlatch/engine/store"
)

var update = flag.Bool("update", false, "write the files that exposed metrics are compared with")

// state is a Source: a daemon that stands still.
type state engine.Snapshot

func (s state) PolicyMetrics() []prometheus.Metric { return nil }

func (s state) Snapshot() engine.Snapshot { return engine.Snapshot(s) }

// fresh is a daemon that has just loaded a policy.
func fresh() state {
	return state{
		Rules:      []engine.RuleCount{{Chain: "input", Rule: "web", Verdict: "accept"}},
		Chains:     map[string]int{"input": 3},
		Generation: 7,
		Policy:     "web.lua",
		PolicyRuns: true,
		Digest:     "abc",
		Group:      71,
		ReloadOK:   true,
		QueueLimit: 4096,
		Banned:     []engine.BannedCount{{Family: "ipv4"}, {Family: "ipv6"}},
		Rollbacks:  map[string]uint64{"deadline": 0},
		Liveness:   engine.Liveness{Failures: map[string]uint64{"check": 0}},
		Drift:      map[string]uint64{"healed": 0},
		Bans: ban.Stats{
			InForce:    map[ban.Kind]int{{Family: ban.IPv4, Origin: ban.Local}: 0},
			Suppressed: map[string]uint64{ban.SuppressedProtected: 0},
			Unbanned:   map[string]uint64{ban.UnbannedExpired: 0},
			Storms:     map[string]bool{ban.SuppressedRate: false},
		},
		Detectors: map[string]detect.Stats{"portscan": {Capacity: 8}},
		Sets:      []engine.SetCount{{Set: "banned4"}},
		History:   engine.HistoryStats{Open: true},
		Outputs:   []feed.OutputStats{{Name: "ops"}},
		Feeds:     []blocklist.State{{Name: "drop"}},
		Callbacks: []engine.CallbackCount{{Name: "web.lua:30", Kind: "handler"}},
	}
}

// busy is a daemon that has seen some of everything.
func busy() state {
	return state{
		Rules: []engine.RuleCount{
			{Chain: "input", Rule: "web", Verdict: "accept", Packets: 10, Bytes: 1000},
			{Chain: "input", Rule: "closed", Verdict: "drop", Packets: 3, Bytes: 180},
		},
		Chains:        map[string]int{"input": 3, "forward": 1},
		Banned:        []engine.BannedCount{{Family: "ipv4", Packets: 20, Bytes: 1200}, {Family: "ipv6", Packets: 2, Bytes: 160}},
		Generation:    8,
		Policy:        "web.lua",
		PolicyRuns:    true,
		CallbacksOff:  1,
		NoticesHeld:   17,
		Digest:        "def",
		Group:         71,
		TrialDeadline: time.UnixMilli(1_700_000_060_500),
		Rollbacks:     map[string]uint64{"deadline": 1, "manual": 2, "reset": 3},
		Liveness: engine.Liveness{
			Lease: 30 * time.Second, Deadline: time.UnixMilli(1_700_000_020_250), Failing: true,
			Renewals: 40, Openings: 2, Failures: map[string]uint64{"check": 6, "caller": 1},
		},
		Drift:       map[string]uint64{"healed": 4, "reported": 5, "gave_up": 6},
		Drifted:     true,
		ReloadOK:    false,
		ReloadedAt:  time.Unix(1_700_000_000, 0),
		Events:      1000,
		Datagrams:   90,
		Threshold:   64,
		Tunings:     12,
		Overruns:    6,
		LostKernel:  1,
		LostDecode:  2,
		LostQueue:   3,
		QueueLength: 5,
		QueueLimit:  4096,
		LogDropped:  35,
		Calls:       100,
		Errors:      4,
		Timeouts:    5,
		Bans: ban.Stats{
			InForce: map[ban.Kind]int{
				{Family: ban.IPv4, Origin: ban.Local}: 9, {Family: ban.IPv6, Origin: ban.Local}: 10,
				{Family: ban.IPv4, Origin: ban.Manual}: 11, {Family: ban.IPv6, Origin: ban.Manual}: 0,
			},
			Banned:     map[ban.Author]uint64{{By: "portscan", Origin: ban.Local}: 12, {By: "web.lua:30", Origin: ban.Local}: 13},
			Suppressed: map[string]uint64{ban.SuppressedProtected: 14, ban.SuppressedQueueFull: 15},
			Unbanned:   map[string]uint64{ban.UnbannedExpired: 16, ban.UnbannedTrial: 17},
			Storms:     map[string]bool{ban.SuppressedRate: true, ban.SuppressedShare: false},
		},
		Detectors: map[string]detect.Stats{"portscan": {Events: 70, Hits: 7, Evicted: 8, Tracked: 6, Capacity: 16}},
		History: engine.HistoryStats{Open: true, Stats: store.Stats{
			Written: 21, Dropped: 22, Uncounted: 23, Failed: 24, SetAside: 1, Batches: 25, Busy: 1500 * time.Millisecond, Queued: 3, Size: 4096, Failing: "no space left on device",
		}},
		Feeds:     []blocklist.State{{Name: "drop", Entries: 41, Fetched: time.Unix(1_700_000_001, 0), Error: "404 Not Found", Refused: 42}},
		Outputs:   []feed.OutputStats{{Name: "ops", Sent: 31, Failed: 32, Dropped: 33, Suppressed: 34}},
		Sets:      []engine.SetCount{{Set: "admins4", Elements: 3, Limit: 65535}, {Set: "banned4", Elements: 9}},
		Callbacks: []engine.CallbackCount{{Name: "web.lua:30", Kind: "handler", Off: true, CallbackStats: policy.CallbackStats{Calls: 90, Errors: 4, Timeouts: 5, Took: 1500 * time.Millisecond}}},
	}
}

// pedantic registers everything in a registry that checks what it is given.
func pedantic(t testing.TB, m *Metrics, s Source) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := m.register(r, s); err != nil {
		t.Fatal(err)
	}
	return r
}

func gather(t testing.TB, g prometheus.Gatherer) []*dto.MetricFamily {
	t.Helper()
	all, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// own lists the gathered metrics that do not depend on the build or the time.
func own(t testing.TB, g prometheus.Gatherer) []string {
	var names []string
	for _, f := range gather(t, g) {
		name := f.GetName()
		if strings.HasPrefix(name, "moonlatch_") && name != "moonlatch_build_info" && name != "moonlatch_ruleset_last_apply_timestamp_seconds" {
			names = append(names, name)
		}
	}
	return names
}

// golden compares our metrics with a file, in the format that is scraped.
func golden(t *testing.T, g prometheus.Gatherer, name string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		text, err := testutil.GatherAndFormat(g, expfmt.TypeTextPlain, own(t, g)...)
		if err == nil {
			err = os.WriteFile(path, text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The names of both sides, so that neither can have more than the other.
	names := own(t, g)
	for line := range strings.Lines(string(want)) {
		if f := strings.Fields(line); f[0] == "#" && f[1] == "TYPE" && !slices.Contains(names, f[2]) {
			t.Errorf("%s is missing", f[2])
		}
	}
	if err := testutil.GatherAndCompare(g, bytes.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestExposition(t *testing.T) {
	m := New()
	r := pedantic(t, m, busy())
	m.ApplyTook(30*time.Millisecond, nil)
	m.ApplyTook(2*time.Second, errors.New("no such set"))
	m.BanTook(800*time.Microsecond, 7)
	m.CallbackTook("web.lua", 2*time.Microsecond)
	m.CallbackTook("web.lua", 20*time.Microsecond)
	m.CallbackTook("old.lua", 2*time.Millisecond)
	golden(t, r, "busy.prom")
}

// TestZeroAtFirst: Prometheus does not see the increase of a counter that is
// born at more than zero. Every one whose labels are known must be there at once.
func TestZeroAtFirst(t *testing.T) {
	r := pedantic(t, New(), fresh())
	golden(t, r, "fresh.prom")
	for _, f := range gather(t, r) {
		if !strings.HasPrefix(f.GetName(), "moonlatch_") {
			continue
		}
		for _, metric := range f.GetMetric() {
			if n := metric.GetCounter().GetValue() + float64(metric.GetHistogram().GetSampleCount()); n != 0 {
				t.Errorf("%s%v is born at %v", f.GetName(), metric.GetLabel(), n)
			}
		}
	}
}

// TestEveryFamilyIsExposed: what is described and never sent is a mistake.
func TestEveryFamilyIsExposed(t *testing.T) {
	r := pedantic(t, New(), fresh())
	var got []string
	for _, f := range gather(t, r) {
		got = append(got, f.GetName())
	}
	for _, d := range newFamilies().descs {
		name := strings.Split(d.String(), `"`)[1]
		if !slices.Contains(got, name) {
			t.Errorf("%s is never sent", name)
		}
	}
}

func TestUnreadableKernel(t *testing.T) {
	s := busy()
	s.KernelErr = errors.New("operation not permitted")
	s.Banned = nil
	r := pedantic(t, New(), s)
	if v := value(t, r, "moonlatch_up"); v != 0 {
		t.Errorf("moonlatch_up = %v", v)
	}
	names := own(t, r)
	for _, name := range []string{"rule_packets_total", "rule_bytes_total", "banned_packets_total", "banned_bytes_total", "chain_rules"} {
		if slices.Contains(names, "moonlatch_"+name) {
			t.Errorf("%s is sent though it could not be read: a counter would seem to start anew", name)
		}
	}
}

func TestNothingInForce(t *testing.T) {
	r := pedantic(t, New(), state{ReloadOK: true})
	for _, name := range []string{"ruleset_info", "policy_loaded", "policy_errors_total"} {
		if slices.Contains(own(t, r), "moonlatch_"+name) {
			t.Errorf("%s is sent though no policy is in force", name)
		}
	}
	if v := value(t, r, "moonlatch_watchdog_deadline_timestamp_seconds"); v != 0 {
		t.Errorf("deadline = %v with nothing on trial, want 0", v)
	}
}

func TestPolicyDoesNotRun(t *testing.T) {
	s := fresh()
	s.PolicyRuns = false
	r := pedantic(t, New(), s)
	if v := value(t, r, "moonlatch_policy_loaded", "web.lua"); v != 0 {
		t.Errorf("policy_loaded = %v, want 0", v)
	}
	for _, name := range []string{"policy_events_total", "policy_errors_total", "policy_callbacks_off"} {
		if slices.Contains(own(t, r), "moonlatch_"+name) {
			t.Errorf("%s is sent though no callback can run", name)
		}
	}
}

func TestLastApply(t *testing.T) {
	const when, ok = "moonlatch_ruleset_last_apply_timestamp_seconds", "moonlatch_ruleset_last_apply_success"
	m := New()
	r := pedantic(t, m, fresh())
	if at, good := value(t, r, when), value(t, r, ok); at != 0 || good != 1 {
		t.Errorf("before the first: at %v, success %v, want 0 and 1", at, good)
	}
	for _, tt := range []struct {
		err  error
		want float64
	}{{errors.New("busy"), 0}, {nil, 1}} {
		start := time.Now()
		m.ApplyTook(time.Second, tt.err)
		if good := value(t, r, ok); good != tt.want {
			t.Errorf("after %v: success %v, want %v", tt.err, good, tt.want)
		}
		if at := value(t, r, when); at < float64(start.Unix()) || at > float64(time.Now().Unix()+1) {
			t.Errorf("last apply at %v, want now", at)
		}
	}
}

// TestExemplar leads from a slow ban to what happened, and not to an address.
func TestExemplar(t *testing.T) {
	m := New()
	m.BanTook(3*time.Second, 1234)
	h, err := m.Handler(fresh(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if want := `moonlatch_ban_latency_seconds_bucket{le="5.0"} 1 # {event="1234"} 3.0`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("OpenMetrics lacks %q:\n%s", want, strings.Join(find(w.Body.String(), `(moonlatch_ban_latency.*)`), "\n"))
	}
}

// TestClockSetBack: a ban that seems to come before its packet.
func TestClockSetBack(t *testing.T) {
	m := New()
	m.BanTook(-time.Hour, 7)
	for _, f := range gather(t, pedantic(t, m, fresh())) {
		if h := f.GetMetric()[0].GetHistogram(); f.GetName() == "moonlatch_ban_latency_seconds" && (h.GetSampleSum() != 0 || h.GetSampleCount() != 1) {
			t.Errorf("sum %v of %d bans, want 0 of 1", h.GetSampleSum(), h.GetSampleCount())
		}
	}
}

// TestNamesOfAnyBytes: the name of a policy's file need not be UTF-8, a label must.
func TestNamesOfAnyBytes(t *testing.T) {
	s := busy()
	s.Policy = "caf\xe9.lua"
	m := New()
	m.CallbackTook(s.Policy, time.Millisecond)
	if v := value(t, pedantic(t, m, s), "moonlatch_policy_loaded", "caf\uFFFD.lua"); v != 1 {
		t.Errorf("policy_loaded = %v, want 1", v)
	}
}

// value returns the value of one series, whose labels' values are given in the
// order of their names.
func value(t testing.TB, g prometheus.Gatherer, name string, labels ...string) float64 {
	t.Helper()
	for _, f := range gather(t, g) {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var got []string
			for _, l := range m.GetLabel() {
				got = append(got, l.GetValue())
			}
			if slices.Equal(got, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("%s%q is missing", name, labels)
	return 0
}

// TestNativeAndClassic: a Prometheus that knows native histograms gets them, an
// older one gets buckets.
func TestNativeAndClassic(t *testing.T) {
	m := New()
	m.ApplyTook(time.Second, nil)
	m.BanTook(time.Millisecond, 7)
	m.CallbackTook("web.lua", time.Microsecond)
	var got []string
	for _, f := range gather(t, pedantic(t, m, fresh())) {
		if !strings.HasPrefix(f.GetName(), "moonlatch_") || f.GetType() != dto.MetricType_HISTOGRAM {
			continue
		}
		for _, metric := range f.GetMetric() {
			if h := metric.GetHistogram(); len(h.GetBucket()) > 5 && h.Schema != nil && len(h.GetPositiveSpan()) > 0 {
				got = append(got, strings.TrimPrefix(f.GetName(), "moonlatch_"))
			}
		}
	}
	if diff := cmp.Diff([]string{"ban_latency_seconds", "policy_duration_seconds", "ruleset_apply_duration_seconds"}, got); diff != "" {
		t.Errorf("histograms that are both (-want +got):\n%s", diff)
	}
}
