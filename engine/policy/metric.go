package policy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// MetricPrefix stands before the names of metrics that policies declare.
const MetricPrefix = "moonlatch_custom_"

// The bounds of what a policy's metrics can cost, here and in Prometheus.
const (
	maxMetrics     = 32
	maxLabels      = 4
	maxSeries      = 100 // combinations of one metric's label values
	maxLabelValue  = 64  // bytes
	maxMetricName  = 80  // bytes, without the prefix
	maxBuckets     = 30
	defaultBuckets = "0.005 to 10"
)

// metric is a metric that a policy declares.
type metric struct {
	kind, name string // as the policy wrote it
	labels     []string
	series     map[string]bool // the combinations of label values so far
	full       atomic.Bool     // one more was asked for
	change     map[string]func(labels []string, n float64)
	prometheus.Collector
}

// Metrics returns the metrics that the policy declares, as they are now. It may
// be called by any goroutine.
func (p *Policy) Metrics() []prometheus.Metric {
	var out []prometheus.Metric
	for _, m := range p.metrics {
		ch := make(chan prometheus.Metric, maxSeries+1)
		m.Collect(ch)
		close(ch)
		out = slices.AppendSeq(out, func(yield func(prometheus.Metric) bool) {
			for s := range ch {
				if !yield(s) {
					return
				}
			}
		})
	}
	return out
}

// metricMembers are the names of fw.metric.
func metricMembers() []member {
	kind := func(name, doc, method string) member {
		return member{
			Entry: Entry{Name: name, Takes: "name, help, then, if need be, a list of label names", Doc: doc,
				Example: `local m = fw.metric.` + name + `("knock_packets", "Packets that knocked.", { "port" }); fw.on(closed, function(ev) m:` + method + `(1, { port = ev.dport }) end)`},
			declare: func(l *loader, L *lua.LState) int { return l.newMetric(L, name) },
		}
	}
	return []member{
		kind("counter", `declares a metric that only grows, "`+MetricPrefix+`NAME_total"`, "add"),
		kind("gauge", `declares a metric that goes up and down, "`+MetricPrefix+`NAME"`, "set"),
		kind("histogram", `declares a metric of how large things are, in buckets of `+defaultBuckets+`, or of a list behind the labels`, "observe"),
	}
}

// metricMethods are what a metric can be told.
func metricMethods() []member {
	tell := func(name, kinds, doc, example string) member {
		return member{
			Entry:  Entry{Name: name, Takes: "number, then the values of its labels", Doc: doc + "; of " + kinds + ". Returns true, or false and why not", Example: example},
			handle: func(p *Policy, L *lua.LState) int { return p.tellMetric(L, name) },
		}
	}
	const knocks = `local knocks = fw.metric.counter("knocks", "Packets that knocked.", { "port" }); `
	const tables = `local seen = fw.metric.gauge("seen", "Sources seen lately."); `
	return []member{
		tell("add", "counters and gauges", "adds to it", knocks+`fw.on(closed, function(ev) knocks:add(1, { port = ev.dport }) end)`),
		tell("set", "gauges", "sets it", tables+`fw.every("1m", function() seen:set(fw.bans()) end)`),
		tell("observe", "histograms", "counts it in its bucket", `local sizes = fw.metric.histogram("packet_bytes", "Sizes of knocks.", {}, { 64, 512, 1500 }); fw.on(closed, function(ev) sizes:observe(ev.length) end)`),
	}
}

// metricObject is a metric in a policy.
type metricObject struct {
	*metric
	methods map[string]lua.LValue
}

func (m *metricObject) String() string { return fmt.Sprintf("%s %q", m.kind, m.name) }
func (m *metricObject) usage() string {
	return "it is told by its methods, " + strings.Join(m.can(), " and ")
}

func (m *metricObject) methodNames() []string { return slices.Sorted(maps.Keys(m.change)) }

// can lists the methods of its kind.
func (m *metricObject) can() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m.change)) {
		out = append(out, fmt.Sprintf("%s(1%s)", name, m.example()))
	}
	return out
}

func (m *metric) example() string {
	if len(m.labels) == 0 {
		return ""
	}
	return fmt.Sprintf(", { %s = … }", strings.Join(m.labels, " = …, "))
}

// field implements fielded: m:add(1).
func (m *metricObject) field(L *lua.LState, name string) lua.LValue {
	if _, ok := m.change[name]; !ok {
		L.RaiseError("%s has no method %q%s: %s", m, name, ruleset.Suggest(name, slices.Collect(maps.Keys(m.change))), m.usage())
	}
	return m.methods[name]
}

// newMetric is fw.metric.KIND.
func (l *loader) newMetric(L *lua.LState, kind string) int {
	form := fmt.Sprintf(`fw.metric.%s("name", "help", { "label" })`, kind)
	most := 3
	if kind == "histogram" {
		form, most = `fw.metric.histogram("name", "help", { "label" }, { 1, 10, 100 })`, 4
	}
	m := &metric{kind: kind, name: stringArg(L, 1, form), series: map[string]bool{}}
	help := stringArg(L, 2, form)
	noMore(L, most, form)
	pos, before := l.here(), l.count
	l.metricName(pos, m)
	m.labels = l.metricLabels(L, m)
	buckets := l.metricBuckets(L, m)
	if len(l.metrics) == maxMetrics {
		l.report(pos, "%s %q: a policy has %d metrics at most", kind, m.name, maxMetrics)
	}
	if strings.TrimSpace(help) == "" {
		l.report(pos, "%s %q: its help is empty: say in a sentence what it counts", kind, m.name)
	}
	if l.count == before {
		l.lintMetric(pos, m, help)
	}
	if l.count == before {
		m.collect(help, buckets)
		l.metrics = append(l.metrics, m)
	}
	o := &metricObject{m, map[string]lua.LValue{}}
	for _, method := range metricMethods() {
		o.methods[method.Name] = l.memberValue(o.String(), method)
	}
	L.Push(l.wrap(o))
	return 1
}

// metricName checks that the name is one, and another one than the others'.
func (l *loader) metricName(pos ruleset.Pos, m *metric) {
	what := m.kind + " name"
	if reason := badMetricWord(m.name); reason != "" {
		l.report(pos, "%s %.100q %s", what, m.name, reason)
		return
	}
	if len(m.name) > maxMetricName {
		l.report(pos, "%s %.20q… is longer than %d bytes", what, m.name, maxMetricName)
	}
	l.unique(pos, "metric", strings.TrimSuffix(m.name, "_total"))
}

// badMetricWord says what is wrong with the name of a metric or a label.
func badMetricWord(s string) string {
	switch {
	case s == "":
		return "is empty"
	case strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
		return "has other characters than a-z, 0-9 and _"
	case s[0] < 'a' || s[0] > 'z':
		return "does not start with a letter"
	}
	return ""
}

func (l *loader) metricLabels(L *lua.LState, m *metric) []string {
	if L.Get(3) == lua.LNil {
		return nil
	}
	v, labels := l.value(L, 3), []string{}
	err := each(v, func(v value) error {
		name, err := text(v)
		if err != nil {
			return err
		}
		switch reason := badMetricWord(name); {
		case reason != "":
			return fmt.Errorf("label %.80q %s", name, reason)
		case name == "le" || name == "quantile" || name == "job" || name == "instance":
			return fmt.Errorf("label %q is Prometheus's own", name)
		case slices.Contains(labels, name):
			return fmt.Errorf("label %q is there twice", name)
		case len(labels) == maxLabels:
			return fmt.Errorf("label %q is one too many: a metric has %d at most", name, maxLabels)
		}
		labels = append(labels, name)
		return nil
	})
	l.reportAll(v.pos, fmt.Sprintf("%s %q: ", m.kind, m.name), err)
	return labels
}

func (l *loader) metricBuckets(L *lua.LState, m *metric) []float64 {
	if L.Get(4) == lua.LNil {
		return prometheus.DefBuckets
	}
	v, buckets := l.value(L, 4), []float64{}
	err := each(v, func(v value) error {
		n, ok := v.LValue.(lua.LNumber)
		switch {
		case !ok:
			return fmt.Errorf("a bucket is a number, not %s", describe(v.LValue))
		case len(buckets) > 0 && !(float64(n) > buckets[len(buckets)-1]):
			return fmt.Errorf("the buckets must rise, and %v stands behind %v", n, buckets[len(buckets)-1])
		case len(buckets) == maxBuckets:
			return fmt.Errorf("a histogram has %d buckets at most", maxBuckets)
		}
		buckets = append(buckets, float64(n))
		return nil
	})
	l.reportAll(v.pos, fmt.Sprintf("%s %q: ", m.kind, m.name), err)
	return buckets
}

// fullName is the name that Prometheus sees.
func (m *metric) fullName() string {
	if m.kind == "counter" {
		return MetricPrefix + strings.TrimSuffix(m.name, "_total") + "_total"
	}
	return MetricPrefix + m.name
}

// lintMetric reports what Prometheus's own linter finds.
func (l *loader) lintMetric(pos ruleset.Pos, m *metric, help string) {
	kinds := map[string]dto.MetricType{"counter": dto.MetricType_COUNTER, "gauge": dto.MetricType_GAUGE, "histogram": dto.MetricType_HISTOGRAM}
	name, kind := m.fullName(), kinds[m.kind]
	one := &dto.Metric{}
	for _, label := range m.labels {
		one.Label = append(one.Label, &dto.LabelPair{Name: &label})
	}
	problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{{Name: &name, Help: &help, Type: &kind, Metric: []*dto.Metric{one}}}).Lint()
	if err != nil {
		l.report(pos, "%s %q: %v", m.kind, m.name, err)
	}
	for _, p := range problems {
		l.report(pos, "%s %q: %s", m.kind, m.name, p.Text)
	}
}

// collect makes what holds the metric's values.
func (m *metric) collect(help string, buckets []float64) {
	switch m.kind {
	case "counter":
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.fullName(), Help: help}, m.labels)
		m.Collector = v
		m.change = map[string]func([]string, float64){"add": func(l []string, n float64) { v.WithLabelValues(l...).Add(n) }}
	case "gauge":
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: m.fullName(), Help: help}, m.labels)
		m.Collector = v
		m.change = map[string]func([]string, float64){
			"add": func(l []string, n float64) { v.WithLabelValues(l...).Add(n) },
			"set": func(l []string, n float64) { v.WithLabelValues(l...).Set(n) },
		}
	case "histogram":
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.fullName(), Help: help, Buckets: buckets}, m.labels)
		m.Collector = v
		m.change = map[string]func([]string, float64){"observe": func(l []string, n float64) { v.WithLabelValues(l...).Observe(n) }}
	}
	if len(m.labels) == 0 && m.kind == "counter" {
		m.change["add"](nil, 0) // a counter is there from its zero on
	}
}

// tellMetric is metric:METHOD(number, labels).
func (p *Policy) tellMetric(L *lua.LState, method string) int {
	m, ok := unwrap[*metricObject](L.Get(1))
	if !ok {
		L.RaiseError("a metric's methods are called with a colon: metric:%s(1)", method)
	}
	change := m.change[method]
	form := fmt.Sprintf("%s:%s(1%s)", m.name, method, m.example())
	if change == nil {
		L.RaiseError("%s has no method %q: %s", m, method, m.usage())
	}
	n, ok := L.Get(2).(lua.LNumber)
	if !ok {
		L.RaiseError("%s is expected, not %s", form, got(L, 2))
	}
	noMore(L, 3, form)
	if m.kind == "counter" && !(n >= 0) {
		L.RaiseError("%s only grows, and %v does not make it", m, n)
	}
	values, err := m.labelValues(L.Get(3))
	if err != nil {
		L.RaiseError("%s: %v; %s is expected", m, err, form)
	}
	if err := p.room(m, values); err != nil {
		return result(L, err)
	}
	change(values, float64(n))
	return result(L, nil)
}

// labelValues reads the values of a metric's labels in their order.
func (m *metric) labelValues(v lua.LValue) ([]string, error) {
	t, ok := v.(*lua.LTable)
	if !ok {
		if v == lua.LNil && len(m.labels) == 0 {
			return nil, nil
		}
		return nil, fmt.Errorf("the values of its labels are a table, not %s", describe(v))
	}
	for k := range pairs(t) {
		if name, ok := k.(lua.LString); !ok || !slices.Contains(m.labels, string(name)) {
			return nil, fmt.Errorf("it has no label %s%s", describe(k), ruleset.Suggest(lua.LVAsString(k), m.labels))
		}
	}
	out := make([]string, len(m.labels))
	for i, name := range m.labels {
		v := t.RawGetString(name)
		if v == lua.LNil {
			return nil, fmt.Errorf("label %q has no value", name)
		}
		out[i] = lua.LVAsString(v)
		if err := checkLabelValue(out[i]); err != nil {
			return nil, fmt.Errorf("label %q: %w", name, err)
		}
	}
	return out, nil
}

// checkLabelValue refuses values of which there is no end: every address would be
// a series of its own.
func checkLabelValue(s string) error {
	switch {
	case s == "":
		return errors.New("its value is a text or a number")
	case len(s) > maxLabelValue:
		return fmt.Errorf("%.20q… is longer than %d bytes", s, maxLabelValue)
	case !utf8.ValidString(s):
		return fmt.Errorf("%q is not text (UTF-8)", s)
	}
	host, _, _ := strings.Cut(strings.Trim(s, "[]"), "/")
	_, addr := netip.ParseAddr(host)
	_, port := netip.ParseAddrPort(s)
	if addr == nil || port == nil {
		return fmt.Errorf("%s is an address, and addresses are no label values: there is no end of them", s)
	}
	return nil
}

// room notes a combination of label values, and refuses one too many. That is no error of
// the handler's, which packets must not be able to switch off.
func (p *Policy) room(m *metricObject, values []string) error {
	key := strings.Join(values, "\xff") // in no UTF-8 text
	if m.series[key] {
		return nil
	}
	if len(m.series) < maxSeries {
		m.series[key] = true
		return nil
	}
	if !m.full.Swap(true) {
		p.env.Log.Error("a metric of the policy has too many combinations of label values: further ones are not counted",
			"metric", m.fullName(), "most", maxSeries, "refused", printable(strings.Join(values, ", "), maxWhy))
	}
	return fmt.Errorf("%s has %d combinations of label values already", m, maxSeries)
}
