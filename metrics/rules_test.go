package metrics

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	rulesFile      = "alerts.yml"
	rulesTestsFile = "alerts_test.yml"
)

func TestPromtoolRules(t *testing.T) {
	for _, args := range [][]string{
		{"check", "rules", "--lint=all", "--lint-fatal", rulesFile},
		{"test", "rules", rulesTestsFile},
	} {
		if out, err := promtool(t, "", args...); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// exposed returns each series name that a scrape of a busy daemon can bring,
// with its labels.
func exposed(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	m := New()
	m.CallbackTook("web.lua", 1)
	for _, f := range gather(t, pedantic(t, m, busy())) {
		labels := []string{"instance", "job"} // which Prometheus adds
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		name := f.GetName()
		out[name] = labels
		if f.GetMetric()[0].GetHistogram() != nil {
			out[name+"_bucket"], out[name+"_sum"], out[name+"_count"] = append(labels, "le"), labels, labels
		}
	}
	return out
}

// foreign lists what a text about metrics says of metrics or labels that do not
// exist. Names with a colon are those of recording rules.
func foreign(t *testing.T, text string) []string {
	t.Helper()
	known := exposed(t)
	recorded := find(text, `record: (\S+)`)
	var labels, out []string
	for _, name := range find(text, `([a-z_]*:?moonlatch_[a-z0-9_:]+)`) {
		if strings.Contains(name, ":") {
			if !slices.Contains(recorded, name) {
				out = append(out, "rule "+name)
			}
			continue
		}
		if _, ok := known[name]; !ok {
			out = append(out, "metric "+name)
		}
		labels = append(labels, known[name]...)
	}
	used := find(text, `\$labels\.([a-z0-9_]+)`)
	for _, list := range find(text, `(?:by|without|on|ignoring) \(([a-z0-9_, ]+)\)`) {
		used = append(used, strings.Split(list, ", ")...)
	}
	for _, matchers := range find(text, `moonlatch_[a-z_]+\{([^}]*)\}`) {
		used = append(used, find(matchers, `([a-z0-9_]+)=`)...)
	}
	for _, label := range used {
		if !slices.Contains(labels, label) {
			out = append(out, "label "+label)
		}
	}
	return out
}

// find returns the first group of every match.
func find(text, pattern string) []string {
	var out []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("prometheus", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRulesKnowOurMetrics: a rule about a metric that does not exist never fires,
// and nothing says so.
func TestRulesKnowOurMetrics(t *testing.T) {
	for _, name := range []string{rulesFile, rulesTestsFile} {
		text := read(t, rulesFile)
		if name == rulesTestsFile {
			text += read(t, name) // the rules record what their tests ask for
		}
		for _, f := range foreign(t, text) {
			t.Errorf("%s: %s does not exist", name, f)
		}
	}
}

// TestForeign is the proof that TestRulesKnowOurMetrics can fail.
func TestForeign(t *testing.T) {
	for text, want := range map[string]string{
		"rate(moonlatch_drops_total[5m])":                          "metric moonlatch_drops_total",
		"sum(instance:moonlatch_drops:rate5m)":                     "rule instance:moonlatch_drops:rate5m",
		`moonlatch_bans{src="x"}`:                                  "label src",
		`sum without (family, src) (moonlatch_bans)`:               "label src",
		"moonlatch_bans > 1 on {{ $labels.country }}":              "label country",
		"moonlatch_ban_latency_seconds_quantile":                   "metric moonlatch_ban_latency_seconds_quantile",
		`moonlatch_unbans_total{reason="expired", policy="a.lua"}`: "label policy",
	} {
		if got := foreign(t, text); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: found %q, want %q", text, got, want)
		}
	}
	fine := `histogram_quantile(0.99, sum by (le) (rate(moonlatch_ban_latency_seconds_bucket{job="x"}[5m])))`
	if got := foreign(t, fine); got != nil {
		t.Errorf("%s: found %q, want nothing", fine, got)
	}
}

// TestEveryAlertIsTested: each must be shown to fire and not to.
func TestEveryAlertIsTested(t *testing.T) {
	tests := read(t, rulesTestsFile)
	for _, alert := range find(read(t, rulesFile), `- alert: (\S+)`) {
		quiet := regexp.MustCompile(`alertname: ` + alert + `, exp_alerts: \[\]`)
		fires := regexp.MustCompile(`alertname: ` + alert + `\n +exp_alerts:[^\[\n]*\n +- exp_labels`)
		if !quiet.MatchString(tests) || !fires.MatchString(tests) {
			t.Errorf("%s: tested to stay quiet: %t, to fire: %t", alert, quiet.MatchString(tests), fires.MatchString(tests))
		}
	}
	for _, rule := range find(read(t, rulesFile), `- record: (\S+)`) {
		if !strings.Contains(tests, "expr: "+rule+"\n") {
			t.Errorf("what %s records is not tested", rule)
		}
	}
}
