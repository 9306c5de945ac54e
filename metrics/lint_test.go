package metrics

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
)

// problems lints what is gathered, by Prometheus' rules and by ours.
func problems(t *testing.T, g prometheus.Gatherer) []string {
	t.Helper()
	l := promlint.NewWithMetricFamilies(gather(t, g))
	l.AddCustomValidations(noAddresses)
	found, err := l.Lint()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range found {
		out = append(out, p.Metric+": "+p.Text)
	}
	return out
}

// noAddresses refuses labels whose values an attacker chooses: one series for
// each address or port that is ever seen would be without bound.
func noAddresses(f *dto.MetricFamily) []error {
	var errs []error
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if slices.Contains(unbounded(), strings.ToLower(l.GetName())) {
				errs = append(errs, fmt.Errorf("label %q has values without bound", l.GetName()))
			}
			_, notAddress := netip.ParseAddr(l.GetValue())
			_, notPrefix := netip.ParsePrefix(l.GetValue())
			if notAddress == nil || notPrefix == nil {
				errs = append(errs, fmt.Errorf("label %q holds an address", l.GetName()))
			}
		}
	}
	return errs
}

func unbounded() []string {
	return []string{
		"ip", "src", "dst", "saddr", "daddr", "addr", "address", "source_address", "host", "prefix", "cidr", "net", "network",
		"target", "mac", "port", "sport", "dport", "country", "asn", "handle", "generation", "user", "why",
	}
}

func TestLint(t *testing.T) {
	for _, s := range []state{fresh(), busy()} {
		for _, p := range problems(t, pedantic(t, New(), s)) {
			t.Error(p)
		}
	}
}

// TestLintFinds is the proof that TestLint can fail.
func TestLintFinds(t *testing.T) {
	gauge := func(name, help string, labels ...string) prometheus.Collector {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"src", "by"}[:len(labels)])
		g.WithLabelValues(labels...)
		return g
	}
	for _, tt := range []struct {
		bad  prometheus.Collector
		want string
	}{
		{gauge("moonlatch_xY", "X."), "moonlatch_xY: metric names should be written in 'snake_case' not 'camelCase'"},
		{gauge("moonlatch_x_total", "X."), `moonlatch_x_total: non-counter metrics should not have "_total" suffix`},
		{gauge("moonlatch_x_milliseconds", "X."), `moonlatch_x_milliseconds: use base unit "seconds" instead of "milliseconds"`},
		{gauge("moonlatch_x", "X.", "scanner"), `moonlatch_x: label "src" has values without bound`},
		{gauge("moonlatch_x", "X.", "scanner", "192.0.2.1"), `moonlatch_x: label "by" holds an address`},
		{gauge("moonlatch_x", "X.", "scanner", "2001:db8::/64"), `moonlatch_x: label "by" holds an address`},
	} {
		r := prometheus.NewPedanticRegistry()
		r.MustRegister(tt.bad)
		if got := problems(t, r); !slices.Contains(got, tt.want) {
			t.Errorf("found %q, want %q among it", got, tt.want)
		}
	}
}

// promtool runs Prometheus' own checker, which CI installs too.
func promtool(t *testing.T, stdin string, args ...string) (output string, err error) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if testing.Short() {
			t.Skip("promtool is not installed (-short)")
		}
		t.Fatalf("this test needs promtool (Debian, Ubuntu: apt-get install prometheus): %v", err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = "prometheus"
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestPromtoolCheckMetrics(t *testing.T) {
	r := pedantic(t, New(), busy())
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r}).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	text := rec.Body.String()
	if out, err := promtool(t, text, "check", "metrics"); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	bad := strings.ReplaceAll(text, "moonlatch_nflog_events_total", "moonlatch_nflogEvents")
	if out, err := promtool(t, bad, "check", "metrics"); err == nil || !strings.Contains(out, "moonlatch_nflogEvents counter metrics") {
		t.Errorf("promtool took a bad name: %v\n%s", err, out)
	}
}
