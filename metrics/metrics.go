// Package metrics tells Prometheus what a daemon does: how long things take as
// they happen, and everything else from a snapshot of the daemon at each scrape.
package metrics

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"moonlatch/engine"
)

// namespace is the first word of every metric of ours.
const namespace = "moonlatch"

// Outcomes of an apply, the values of its label.
const (
	applied   = "ok"
	unapplied = "error"
)

// Metrics measures what a snapshot cannot tell: how long things took. It is
// safe for concurrent use.
type Metrics struct {
	applyDuration  prometheus.Histogram
	applies        *prometheus.CounterVec
	lastApply      prometheus.Gauge
	lastApplyOK    prometheus.Gauge
	banLatency     prometheus.Histogram
	policyDuration *prometheus.HistogramVec
	webRequests    *prometheus.CounterVec
	webListeners   prometheus.Gauge
	recent         atomic.Pointer[policyDuration]
}

// policyDuration is the histogram of one policy.
type policyDuration struct {
	prometheus.Observer
	policy string
}

var _ engine.Observer = (*Metrics)(nil)

// New returns Metrics that have seen nothing yet.
func New() *Metrics {
	m := &Metrics{
		applyDuration: prometheus.NewHistogram(histogram("ruleset_apply_duration_seconds",
			"Time that putting a ruleset in force took, successful or not.",
			.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60)),
		applies: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "ruleset_applies_total",
			Help: "Attempts to put a ruleset in force on trial, by outcome (ok, error)."}, []string{"result"}),
		lastApply: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "ruleset_last_apply_timestamp_seconds",
			Help: "Unix time of the last attempt to put a ruleset in force; 0 before the first since the daemon started."}),
		lastApplyOK: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "ruleset_last_apply_success",
			Help: "Whether the last attempt to put a ruleset in force succeeded (1) or not (0); 1 before the first."}),
		banLatency: prometheus.NewHistogram(histogram("ban_latency_seconds",
			"Time from the timestamp of the packet that caused a ban to the kernel's acknowledgement of the ban.",
			.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5)),
		policyDuration: prometheus.NewHistogramVec(histogram("policy_duration_seconds",
			"Time that a policy's callback took for one event, detector hit or timer.",
			1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, .001, .01, .1, 1), []string{"policy"}),
	}
	m.webRequests = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "web_requests_total",
		Help: "Requests to the web page and its API, by status and method. A client of live events counts when it goes."}, []string{"code", "method"})
	m.webListeners = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "web_listeners",
		Help: "Pages that listen to live events at the moment."})
	for _, code := range []string{"200", "400", "403", "404", "413", "429", "503"} {
		m.webRequests.WithLabelValues(code, "get")
		m.webRequests.WithLabelValues(code, "post")
	}
	m.applies.WithLabelValues(applied)
	m.applies.WithLabelValues(unapplied)
	m.lastApplyOK.Set(1)
	return m
}

// histogram is both a native one, for a Prometheus that asks for it, and a
// classic one with the given upper bounds in seconds.
func histogram(name, help string, bounds ...float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: bounds,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// ApplyTook implements engine.Observer.
func (m *Metrics) ApplyTook(d time.Duration, err error) {
	result, ok := applied, true
	if err != nil {
		result, ok = unapplied, false
	}
	m.applyDuration.Observe(d.Seconds())
	m.applies.WithLabelValues(result).Inc()
	m.lastApply.SetToCurrentTime()
	m.lastApplyOK.Set(truth(ok))
}

// BanTook implements engine.Observer. A clock that was set back between packet
// and ban makes d negative, which would make the histogram's sum fall.
func (m *Metrics) BanTook(d time.Duration, id uint64) {
	// The exemplar leads from a slow ban to "moonlatch events" and the history, which know its address.
	if e, ok := m.banLatency.(prometheus.ExemplarObserver); ok {
		e.ObserveWithExemplar(max(0, d).Seconds(), prometheus.Labels{"event": strconv.FormatUint(id, 10)})
	}
}

// CallbackTook implements engine.Observer.
func (m *Metrics) CallbackTook(policy string, d time.Duration) { m.of(policy).Observe(d.Seconds()) }

// WebRequests counts what a handler of the web page answers.
func (m *Metrics) WebRequests(next http.Handler) http.Handler {
	return promhttp.InstrumentHandlerCounter(m.webRequests, next)
}

// WebListeners is for whoever serves live events.
func (m *Metrics) WebListeners() prometheus.Gauge { return m.webListeners }

// of returns the histogram of a policy, at zero where it is new. Callbacks come
// by the million and nearly all from one policy, so that one is remembered.
func (m *Metrics) of(policy string) *policyDuration {
	if p := m.recent.Load(); p != nil && p.policy == policy {
		return p
	}
	p := &policyDuration{m.policyDuration.WithLabelValues(valid(policy)), policy}
	m.recent.Store(p)
	return p
}

// Registry returns a registry of everything there is to know: these Metrics,
// the source's snapshots, and the process. Its error is a mistake in a metric.
func (m *Metrics) Registry(source Source) (*prometheus.Registry, error) {
	r := prometheus.NewRegistry()
	return r, m.register(r, source)
}

func (m *Metrics) register(r prometheus.Registerer, source Source) error {
	for _, c := range []prometheus.Collector{
		newCollector(m, source),
		custom{source},
		version.NewCollector(namespace),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// collectors lists what m collects by itself.
func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.applyDuration, m.applies, m.lastApply, m.lastApplyOK, m.banLatency, m.policyDuration, m.webRequests, m.webListeners,
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// valid makes a name a label value, which must be UTF-8; a file's name need not be.
func valid(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }
