package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"moonlatch/engine/memory"
)

// tick runs the policy's only timer.
func (s *stage) tick(t *testing.T) error {
	t.Helper()
	return s.Tick(s.Timers()[0])
}

// says runs a timer of this text and returns what it logged last.
func says(t *testing.T, m *memory.Memory, text string) (string, error) {
	t.Helper()
	s := newStage(t, "fw.every('1m', function() "+text+" end)")
	s.env.Memory = m
	err := s.tick(t)
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	_, said, _ := strings.Cut(lines[len(lines)-1], "msg=")
	said, _, _ = strings.Cut(said, " at=")
	return said, err
}

func TestRememberAndRecall(t *testing.T) {
	now := time.Unix(1e9, 0)
	m := memory.New(func() time.Time { return now })
	for _, c := range []struct{ text, want string }{
		{`log(tostring(fw.remember("a", "x")))`, "true"},
		{`fw.remember("n", 1.5, "1h"); fw.remember("b", false)`, ""},
		{`log(fw.recall("a") .. fw.recall("n") .. tostring(fw.recall("b")) .. tostring(fw.recall("c")))`, "x1.5falsenil"},
		{`fw.remember("a", nil); log(tostring(fw.recall("a")))`, "nil"},
	} {
		if got, err := says(t, m, c.text); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.text, got, err, c.want)
		}
	}
	now = now.Add(time.Hour)
	if got, err := says(t, m, `log(tostring(fw.recall("n")))`); err != nil || got != "nil" {
		t.Errorf("after its time: %q, %v", got, err)
	}
	if got, err := says(t, nil, `log(tostring(select(2, fw.remember("a", 1))) .. tostring(fw.recall("a")))`); err != nil || got != `"nothing can be remembered herenil"` {
		t.Errorf("without a memory: %q, %v", got, err)
	}
}

func TestRememberMistakes(t *testing.T) {
	m := memory.New(time.Now)
	for text, want := range map[string]string{
		`fw.remember(1, 2)`:                       `fw.remember("name", value, "24h") is expected, not the number 1`,
		`fw.remember("a")`:                        "there is no value",
		`fw.remember("a", {})`:                    `"a": a text, a number, true or false can be remembered, not a table`,
		`fw.remember("a", 1, "1 fortnight")`:      `fw.remember: "a": `,
		`fw.remember("a", 0/0)`:                   "no number that can be kept",
		`fw.remember("a", string.rep("x", 2000))`: "2000 bytes",
		`fw.remember("a\n", 1)`:                   "cannot be printed",
		`fw.remember("a", 1, "1h", 2)`:            "argument 4 is one too many",
		`fw.recall()`:                             `fw.recall("name") is expected`,
	} {
		if _, err := says(t, m, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	// A memory that is full is no mistake: what packets bring must not switch a handler off.
	got, err := says(t, m, `local ok, why; for i = 1, 1025 do ok, why = fw.remember("k" .. i, i) end log(tostring(ok) .. " " .. why)`)
	if err != nil || !strings.Contains(got, "false there is no room") {
		t.Errorf("a full memory: %q, %v", got, err)
	}
}

// What was resolved is among the policy's files, which then need no resolver.
func TestResolve(t *testing.T) {
	source := `local fw = require "moonlatch"; fw.protect(fw.fact.resolve "Mirror.Example.ORG."); fw.set "again" (fw.fact.resolve "mirror.example.org")`
	env := testEnv()
	asked, resolver := 0, env.Resolve
	env.Resolve = func(name string) (list []netip.Addr, err error) { asked++; return resolver(name) }
	p := loadText(t, source, env)
	if asked != 1 {
		t.Errorf("the resolver was asked %d times about one name", asked)
	}
	if diff := cmp.Diff("[192.0.2.53/32 2001:db8::53/128]", fmt.Sprint(p.Protected())); diff != "" {
		t.Error(diff)
	}
	folder := fstest.MapFS{}
	for name, data := range p.Files() {
		folder[name] = &fstest.MapFile{Data: data}
	}
	again, err := Load(folder, "policy.lua", Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if diff := cmp.Diff(p.Protected(), again.Protected(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	folder[".resolved/mirror.example.org"] = &fstest.MapFile{Data: []byte("192.0.2.1\nnonsense\n")}
	if _, err := Load(folder, "policy.lua", Env{}); err == nil || !strings.Contains(err.Error(), `.resolved/mirror.example.org:2: "nonsense" is no address`) {
		t.Errorf("a damaged file: %v", err)
	}
}

// own collects a policy's metrics.
type own struct{ *Policy }

func (own) Describe(chan<- *prometheus.Desc) {}
func (o own) Collect(ch chan<- prometheus.Metric) {
	for _, m := range o.Metrics() {
		ch <- m
	}
}

const declared = `
local knocks = fw.metric.counter("knocks", "Packets that knocked.", { "port", "why" })
local seen = fw.metric.gauge("seen", "Sources seen.")
local sizes = fw.metric.histogram("packet_bytes", "Sizes.", nil, { 64, 512 })
local none = fw.metric.counter("none_total", "Nothing.")
`

func TestMetrics(t *testing.T) {
	s := newStage(t, declared+`fw.every("1m", function()
		knocks:add(2, { port = 22, why = "x" }); knocks:add(1, { why = "x", port = "22" })
		seen:set(5); seen:add(-2)
		sizes:observe(100); sizes:observe(1000)
	end)`)
	if err := s.tick(t); err != nil {
		t.Fatal(err)
	}
	want := `# HELP moonlatch_custom_knocks_total Packets that knocked.
# TYPE moonlatch_custom_knocks_total counter
moonlatch_custom_knocks_total{port="22",why="x"} 3
# HELP moonlatch_custom_none_total Nothing.
# TYPE moonlatch_custom_none_total counter
moonlatch_custom_none_total 0
# HELP moonlatch_custom_packet_bytes Sizes.
# TYPE moonlatch_custom_packet_bytes histogram
moonlatch_custom_packet_bytes_bucket{le="64"} 0
moonlatch_custom_packet_bytes_bucket{le="512"} 1
moonlatch_custom_packet_bytes_bucket{le="+Inf"} 2
moonlatch_custom_packet_bytes_sum 1100
moonlatch_custom_packet_bytes_count 2
# HELP moonlatch_custom_seen Sources seen.
# TYPE moonlatch_custom_seen gauge
moonlatch_custom_seen 3
`
	if err := testutil.CollectAndCompare(own{s.Policy}, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	problems, err := testutil.CollectAndLint(own{s.Policy})
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestMetricMistakes(t *testing.T) {
	for text, want := range map[string]string{
		`knocks:add(1)`:                                           "the values of its labels are a table, not nil",
		`knocks:add(1, { port = 22 })`:                            `label "why" has no value`,
		`knocks:add(1, { prot = 22, why = "x" })`:                 `it has no label "prot" (did you mean "port"?)`,
		`knocks:add(-1, { port = 22, why = "x" })`:                "only grows",
		`knocks:add("1", { port = 22, why = "x" })`:               "is expected",
		`knocks:add(1, { port = 22, why = "192.0.2.1" })`:         "192.0.2.1 is an address, and addresses are no label values",
		`knocks:add(1, { port = 22, why = "2001:db8::/48" })`:     "is an address",
		`knocks:add(1, { port = 22, why = "[2001:db8::1]:22" })`:  "is an address",
		`knocks:add(1, { port = 22, why = "192.0.2.1:80" })`:      "is an address",
		`knocks:add(1, { port = 22, why = {} })`:                  `label "why": its value is a text or a number`,
		`knocks:add(1, { port = 22, why = "\255" })`:              "is not text",
		`knocks:add(1, { port = 22, why = string.rep("x", 65) })`: "longer than 64 bytes",
		`knocks.add(1)`:   "are called with a colon",
		`seen:observe(1)`: `gauge "seen" has no method "observe"`,
		`knocks.add(seen, 1); sizes.observe(seen, 1)`: `has no method "observe"`,
	} {
		s := newStage(t, declared+`fw.every("1m", function() `+text+` end)`)
		if err := s.tick(t); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Label values that packets bring neither fill the memory nor switch the handler off.
func TestMetricSeries(t *testing.T) {
	s := newStage(t, declared+`fw.every("1m", function()
		local ok, why
		for i = 1, 1000 do ok, why = knocks:add(1, { port = i, why = "x" }) end
		log(tostring(ok) .. " " .. why)
		knocks:add(1, { port = 1, why = "x" })
	end)`)
	if err := s.tick(t); err != nil {
		t.Fatal(err)
	}
	if n := testutil.CollectAndCount(own{s.Policy}, "moonlatch_custom_knocks_total"); n != maxSeries {
		t.Errorf("%d series, and %d are the most", n, maxSeries)
	}
	for _, want := range []string{`false counter \"knocks\" has 100 combinations`, `level=ERROR msg="a metric of the policy has too many`, `refused="101, x"`} {
		if strings.Count(s.log.String(), want) != 1 {
			t.Errorf("the log does not say %q once:\n%s", want, s.log.String())
		}
	}
}
