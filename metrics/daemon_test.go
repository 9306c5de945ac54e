package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/export"
	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// knocks logs datagrams to port 9, and fails at each of them.
const knocks = `
local fw = require "moonlatch"
local seen = fw.stream "seen"
local input = fw.chain "input" { hook = "input", policy = "accept" }
input { "knock", udp = 9, seen, fw.drop }
fw.detect "knocking" { on = seen, count = "events", over = 3, within = "60s", ban = { "1h" } }
fw.on(seen, function(ev) error("no") end)
`

// live is a daemon that runs in the test's network namespace and is scraped.
type live struct {
	*testing.T
	daemon *engine.Daemon
	url    string
}

func startDaemon(t *testing.T) *live {
	t.Helper()
	netnstest.Kernel(t)
	log := slog.New(slog.DiscardHandler)
	folder := t.TempDir()
	m := New()
	d, err := engine.Start(t.Context(), engine.Config{State: filepath.Join(folder, "state"), Log: log, Observe: m}, filepath.Join(folder, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := export.File(d.Feed(), filepath.Join(folder, "events"), log)
	if err != nil {
		t.Fatal(err)
	}
	d.AddOutput(out)
	s, err := Listen(m, d, Config{Address: "127.0.0.1:0", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- d.Run(ctx, s) }()
	t.Cleanup(func() {
		if _, err := d.Reset(context.Background()); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &live{t, d, "http://" + s.Addr().String() + "/metrics"}
}

// apply puts the policy of knocks on trial, with more text at its end.
func (l *live) apply(more string) {
	l.Helper()
	path := filepath.Join(l.TempDir(), "knocks.lua")
	if err := os.WriteFile(path, []byte(knocks+more), 0o600); err != nil {
		l.Fatal(err)
	}
	p, req, err := engine.Load(path, slog.New(slog.DiscardHandler))
	if err != nil {
		l.Fatal(err)
	}
	p.Close()
	if _, err := l.daemon.Apply(l.Context(), req); err != nil {
		l.Fatal(err)
	}
}

func (l *live) knock(times int) {
	l.Helper()
	c, err := net.Dial("udp", "127.0.0.1:9")
	if err != nil {
		l.Fatal(err)
	}
	defer c.Close()
	for range times {
		if _, err := c.Write([]byte("knock")); err != nil {
			l.Fatal(err)
		}
	}
}

// scrape returns the value of every series of ours, by its name as Prometheus writes it.
func (l *live) scrape() map[string]float64 {
	l.Helper()
	status, _, body := get(l.T, &http.Client{}, request(l.T, l.url))
	if status != http.StatusOK {
		l.Fatalf("scrape: %d %s", status, body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		l.Fatal(err)
	}
	out := map[string]float64{}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, p := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", p.GetName(), p.GetValue()))
			}
			series := name
			if len(labels) > 0 {
				series += "{" + strings.Join(labels, ",") + "}"
			}
			out[strings.TrimPrefix(series, "moonlatch_")] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}

// expect scrapes until the values are as they should be.
func (l *live) expect(when string, want map[string]float64) {
	l.Helper()
	var wrong []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		got := l.scrape()
		wrong = nil
		for series, v := range want {
			if was, ok := got[series]; !ok || was != v {
				wrong = append(wrong, fmt.Sprintf("%s = %v (there: %t), want %v", series, was, ok, v))
			}
		}
		if wrong == nil {
			return
		}
	}
	l.Errorf("%s:\n%s", when, strings.Join(wrong, "\n"))
}

// TestDaemon follows a real daemon from its start through trials and a roll-back.
func TestDaemon(t *testing.T) {
	l := startDaemon(t)
	// Every label value that is known beforehand is there, at zero.
	l.expect("at the start", map[string]float64{
		"up": 1, "watchdog_armed": 0, "config_last_reload_success": 1, "ruleset_last_apply_success": 1,
		`nflog_events_total{group="71"}`: 0, "nflog_queue_length": 0, "nflog_queue_limit": 4096,
		"nflog_queue_threshold": 1, "nflog_tunings_total": 0, "nflog_datagrams_total": 0, "nflog_overruns_total": 0,
		`nflog_lost_events_total{source="kernel"}`: 0, `nflog_lost_events_total{source="decode"}`: 0, `nflog_lost_events_total{source="queue"}`: 0,
		`banned_packets_total{family="ipv4"}`: 0, `banned_packets_total{family="ipv6"}`: 0,
		`bans{family="ipv4",origin="local"}`: 0, `bans{family="ipv6",origin="manual"}`: 0,
		`bans_total{by="manual",origin="manual"}`: 0, `bans_total{by="trap",origin="local"}`: 0,
		`bans_suppressed_total{reason="queue_full"}`: 0, `bans_suppressed_total{reason="set_full"}`: 0, `bans_suppressed_total{reason="invalid"}`: 0,
		`unbans_total{reason="expired"}`: 0, `unbans_total{reason="request"}`: 0,
		`watchdog_rollbacks_total{reason="deadline"}`: 0, `watchdog_rollbacks_total{reason="manual"}`: 0, `watchdog_rollbacks_total{reason="reset"}`: 0,
		"liveness_lease_seconds": 0, "liveness_ok": 1, "liveness_openings_total": 0, `liveness_failures_total{reason="caller"}`: 0,
		`liveness_failures_total{reason="check"}`: 0, `liveness_failures_total{reason="kernel"}`: 0, `liveness_failures_total{reason="reader"}`: 0,
		`ruleset_applies_total{result="ok"}`: 0, `ruleset_applies_total{result="error"}`: 0,
		"ruleset_apply_duration_seconds": 0, "ban_latency_seconds": 0,
	})

	l.apply("")
	const knock = `rule_packets_total{chain="input",rule="knock",verdict="drop"}`
	l.expect("on trial", map[string]float64{
		"watchdog_armed": 1, `ruleset_applies_total{result="ok"}`: 1, "ruleset_apply_duration_seconds": 1,
		knock: 0, `policy_loaded{policy="knocks.lua"}`: 1, `policy_events_total{policy="knocks.lua"}`: 0,
		`policy_errors_total{policy="knocks.lua",reason="runtime"}`: 0, `detector_hits_total{detector="knocking"}`: 0,
		`bans_total{by="knocking",origin="local"}`: 0, `policy_duration_seconds{policy="knocks.lua"}`: 0,
	})

	if _, err := l.daemon.Confirm(t.Context(), control.ConfirmRequest{}); err != nil {
		t.Fatal(err)
	}
	l.knock(12)
	seen := map[string]float64{
		"watchdog_armed": 0, knock: 12, `rule_bytes_total{chain="input",rule="knock",verdict="drop"}`: 12 * (20 + 8 + 5),
		`nflog_events_total{group="71"}`: 12, `detector_hits_total{detector="knocking"}`: 3,
		// The tenth failure in a row switches the handler off.
		`policy_events_total{policy="knocks.lua"}`: 10, `policy_errors_total{policy="knocks.lua",reason="runtime"}`: 10,
		`policy_callbacks_off{policy="knocks.lua"}`: 1,
	}
	l.expect("knocked", seen)

	l.apply("-- another")
	l.knock(1)
	seen[knock], seen["watchdog_armed"], seen[`nflog_events_total{group="71"}`] = 13, 1, 13
	seen[`policy_events_total{policy="knocks.lua"}`], seen[`policy_errors_total{policy="knocks.lua",reason="runtime"}`] = 11, 11
	delete(seen, `rule_bytes_total{chain="input",rule="knock",verdict="drop"}`)
	seen[`policy_callbacks_off{policy="knocks.lua"}`] = 0
	l.expect("another on trial", seen)

	if _, err := l.daemon.Rollback(t.Context(), control.RollbackRequest{}); err != nil {
		t.Fatal(err)
	}
	l.knock(1)
	// The first generation is back, with its counters: nothing is counted twice.
	seen[knock], seen["watchdog_armed"], seen[`nflog_events_total{group="71"}`] = 14, 0, 14
	seen[`policy_callbacks_off{policy="knocks.lua"}`] = 1
	seen[`watchdog_rollbacks_total{reason="manual"}`] = 1
	l.expect("rolled back", seen)
}

// TestLivenessMetrics lets a check fail until the lease runs out, and then pass.
func TestLivenessMetrics(t *testing.T) {
	l := startDaemon(t)
	l.apply(`fw.watchdog { lease = "5s", check = function() return fw.probe.tcp("127.0.0.1:7777") end }`)
	if _, err := l.daemon.Confirm(t.Context(), control.ConfirmRequest{}); err != nil {
		t.Fatal(err)
	}
	l.expect("open", map[string]float64{"liveness_lease_seconds": 5, "liveness_openings_total": 1, "liveness_ok": 0, "liveness_renewals_total": 0})
	got := l.scrape()
	if got[`liveness_failures_total{reason="check"}`] == 0 {
		t.Error("no failure counted within a lease")
	}
	for series := range got {
		if strings.HasPrefix(series, "ruleset_info") {
			t.Errorf("%s is there, though everything passes", series)
		}
	}
	if end := got["liveness_deadline_timestamp_seconds"]; end < float64(time.Now().Add(-time.Minute).Unix()) || end > float64(time.Now().Unix()+1) {
		t.Errorf("the lease ran out at %v", end)
	}
	answer, err := net.Listen("tcp", "127.0.0.1:7777")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	l.expect("back", map[string]float64{"liveness_ok": 1, "liveness_openings_total": 1})
}

// TestScrapeWhileBanning: that the kernel's sets change all the time must not keep
// anybody from seeing the rules, least of all under attack.
func TestScrapeWhileBanning(t *testing.T) {
	l := startDaemon(t)
	// A long listing, so that a ban always comes in between.
	l.apply(`for i = 1, 600 do input { "rule " .. i, tcp = i, fw.accept } end`)
	ctx, stop := context.WithCancel(t.Context())
	banned := make(chan int)
	go func() { banned <- l.banUntil(ctx) }()
	scrapes := 0
	for end := time.Now().Add(3 * time.Second); scrapes < 30 && time.Now().Before(end); scrapes++ {
		got := l.scrape()
		if _, ok := got[`rule_packets_total{chain="input",rule="knock",verdict="drop"}`]; got["up"] != 1 || !ok {
			t.Errorf("up %v, rules there: %t", got["up"], ok)
		}
	}
	stop()
	t.Logf("%d scrapes during %d bans", scrapes, <-banned)
}

// banUntil bans as another process would, as fast as the kernel can.
func (l *live) banUntil(ctx context.Context) (bans int) {
	c, err := nft.Open(nft.Config{})
	if err != nil {
		l.Error(err)
		return 0
	}
	defer c.Close()
	core := nft.Table{Family: nft.Inet, Name: ruleset.CoreTable}
	for ; ctx.Err() == nil; bans++ {
		tx := c.Begin()
		tx.ReplaceElements(core, "banned4", []nft.Element{{Prefix: netip.MustParsePrefix("198.51.100.1/32"), Timeout: time.Hour}})
		if err := tx.Commit(); err != nil {
			l.Error(err)
			return bans
		}
	}
	return bans
}

// TestListsNothing: a scrape and the status take no longer where sets are so large that to list one takes the kernel a while.
func TestListsNothing(t *testing.T) {
	const n = 100_000
	l := startDaemon(t)
	l.apply(`fw.set "feed" { "192.0.2.1" }`)
	c, err := nft.Open(nft.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	core := nft.Table{Family: nft.Inet, Name: ruleset.CoreTable}
	generation := nft.Table{Family: nft.Inet, Name: ruleset.Table(1)}
	for table, set := range map[nft.Table]string{core: "banned4", generation: "feed4"} {
		if _, err := c.Load(table, set, many(n)); err != nil {
			t.Fatal(err)
		}
	}
	start := cpuTime(t)
	if _, err := c.Elements(core, "banned4"); err != nil && !errors.Is(err, nft.ErrInterrupted) {
		t.Fatal(err)
	}
	listing := cpuTime(t) - start
	for what, look := range map[string]func(){
		"a scrape": func() { l.scrape() },
		"the status": func() {
			if _, err := l.daemon.Status(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		quickest := time.Hour
		for range 10 {
			start := cpuTime(t)
			look()
			quickest = min(quickest, cpuTime(t)-start)
		}
		t.Logf("%s took %v, a listing %v", what, quickest, listing)
		if quickest > listing/15 {
			t.Errorf("%s took %v, and a listing of %d elements %v: it seems to list", what, quickest, n, listing)
		}
	}
}

// cpuTime is how long processors have worked for this process: that does not depend on what else the machine does.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// many yields n addresses of 10.0.0.0/8.
func many(n uint32) func(func(nft.Element) bool) {
	return func(yield func(nft.Element) bool) {
		for i := range n {
			addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			if !yield(nft.Element{Prefix: netip.PrefixFrom(addr, 32)}) {
				return
			}
		}
	}
}
