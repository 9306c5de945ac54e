package metrics

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"moonlatch/engine"
	"moonlatch/engine/ban"
)

// Source tells the state of a daemon. A daemon is one.
type Source interface {
	Snapshot() engine.Snapshot
	PolicyMetrics() []prometheus.Metric
}

// custom collects what the policy in force declares, whatever that is: it describes nothing.
type custom struct{ source Source }

func (custom) Describe(chan<- *prometheus.Desc) {}

func (c custom) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.source.PolicyMetrics() {
		ch <- m
	}
}

// collector makes metrics anew from a snapshot at each scrape. It collects its
// Metrics too, so that those of a policy appear, at zero, as soon as it runs.
type collector struct {
	metrics  *Metrics
	source   Source
	families *families

	mu     sync.Mutex // one snapshot at a time, in the order in which the ledger sees them
	ledger *ledger
}

func newCollector(m *Metrics, source Source) *collector {
	return &collector{metrics: m, source: source, families: newFamilies(), ledger: newLedger()}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.families.descs {
		ch <- d
	}
	for _, own := range c.metrics.collectors() {
		own.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.source.Snapshot()
	c.ledger.open(s.Generation, !s.TrialDeadline.IsZero())
	out := scrape{c.families, c.ledger, ch}
	out.kernel(&s)
	out.trial(&s)
	out.liveness(&s.Liveness)
	out.packets(&s)
	out.policy(&s)
	out.banning(&s)
	out.history(&s.History)
	out.outputs(&s)
	out.feeds(&s)
	if s.Policy != "" {
		c.metrics.of(s.Policy)
	}
	for _, own := range c.metrics.collectors() {
		own.Collect(ch)
	}
}

// scrape sends one snapshot.
type scrape struct {
	*families
	ledger *ledger
	ch     chan<- prometheus.Metric
}

func (s scrape) send(f family, value float64, labels ...string) {
	for i := range labels {
		labels[i] = valid(labels[i])
	}
	s.ch <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
}

// grow sends a counter that starts at zero with each generation.
func (s scrape) grow(f family, value uint64, labels ...string) {
	s.send(f, s.grown(f, value, labels...), labels...)
}

// grown is what such a counter has come to.
func (s scrape) grown(f family, value uint64, labels ...string) float64 {
	return float64(s.ledger.total(f.name, value, labels))
}

// count sends a counter that starts at zero with the daemon or with the table that holds it.
func (s scrape) count(f family, value uint64, labels ...string) {
	s.send(f, float64(value), labels...)
}

// counts sends a counter for each value of its one label.
func (s scrape) counts(f family, values map[string]uint64) {
	for label, value := range values {
		s.count(f, value, label)
	}
}

// kernel sends what was read from the kernel. What could not be read is missing
// rather than zero, which would look as if the counters had started anew.
func (s scrape) kernel(snap *engine.Snapshot) {
	s.send(s.up, truth(snap.KernelErr == nil))
	if snap.Digest != "" {
		s.send(s.rulesetInfo, 1, snap.Digest, snap.Policy)
	}
	if snap.KernelErr != nil {
		return
	}
	for _, r := range snap.Rules {
		s.grow(s.rulePackets, r.Packets, r.Chain, r.Rule, r.Verdict)
		s.grow(s.ruleBytes, r.Bytes, r.Chain, r.Rule, r.Verdict)
	}
	for chain, n := range snap.Chains {
		s.send(s.chainRules, float64(n), chain)
	}
	for _, set := range snap.Sets {
		s.send(s.setElements, float64(set.Elements), set.Set)
		s.send(s.setLimit, float64(set.Limit), set.Set)
	}
	for _, b := range snap.Banned {
		s.count(s.bannedPackets, b.Packets, b.Family)
		s.count(s.bannedBytes, b.Bytes, b.Family)
	}
}

func (s scrape) trial(snap *engine.Snapshot) {
	s.send(s.watchdogArmed, truth(!snap.TrialDeadline.IsZero()))
	s.send(s.watchdogDeadline, unix(snap.TrialDeadline))
	s.counts(s.rollbacks, snap.Rollbacks)
	s.counts(s.drift, snap.Drift)
	s.send(s.drifted, truth(snap.Drifted))
	s.send(s.reloadOK, truth(snap.ReloadOK))
	s.send(s.reloadTime, unix(snap.ReloadedAt))
}

func (s scrape) liveness(l *engine.Liveness) {
	s.send(s.livenessLease, l.Lease.Seconds())
	s.send(s.livenessDeadline, unix(l.Deadline))
	s.send(s.livenessOK, truth(!l.Failing))
	s.count(s.livenessRenewals, l.Renewals)
	s.counts(s.livenessFailures, l.Failures)
	s.count(s.livenessOpenings, l.Openings)
}

func (s scrape) packets(snap *engine.Snapshot) {
	s.count(s.events, snap.Events, strconv.Itoa(int(snap.Group)))
	s.count(s.lost, snap.LostKernel, "kernel")
	s.count(s.lost, snap.LostDecode, "decode")
	s.count(s.lost, snap.LostQueue, "queue")
	s.count(s.overruns, snap.Overruns)
	s.count(s.datagrams, snap.Datagrams)
	s.send(s.threshold, float64(snap.Threshold))
	s.count(s.tunings, snap.Tunings)
	s.send(s.queueLength, float64(snap.QueueLength))
	s.send(s.queueLimit, float64(snap.QueueLimit))
}

func (s scrape) policy(snap *engine.Snapshot) {
	if snap.Policy == "" {
		return
	}
	s.send(s.policyLoaded, truth(snap.PolicyRuns), snap.Policy)
	if !snap.PolicyRuns {
		return
	}
	s.send(s.policyOff, float64(snap.CallbacksOff), snap.Policy)
	s.grow(s.policyHeld, snap.NoticesHeld, snap.Policy)
	s.grow(s.policyEvents, snap.Calls, snap.Policy)
	s.grow(s.policyErrors, snap.Errors, snap.Policy, "runtime")
	s.grow(s.policyErrors, snap.Timeouts, snap.Policy, "timeout")
	for _, c := range snap.Callbacks {
		s.grow(s.callbackCalls, c.Calls, c.Name, c.Kind)
		s.grow(s.callbackErrors, c.Errors, c.Name, c.Kind, "runtime")
		s.grow(s.callbackErrors, c.Timeouts, c.Name, c.Kind, "timeout")
		s.send(s.callbackSeconds, s.grown(s.callbackSeconds, uint64(c.Took), c.Name, c.Kind)/1e9, c.Name, c.Kind)
		s.send(s.callbackOff, truth(c.Off), c.Name, c.Kind)
	}
	for name, d := range snap.Detectors {
		s.grow(s.detectorEvents, d.Events, name)
		s.send(s.detectorTracked, float64(d.Tracked), name)
		s.send(s.detectorLimit, float64(d.Capacity), name)
		s.grow(s.detectorHits, d.Hits, name)
		s.grow(s.detectorEvicted, d.Evicted, name)
	}
}

// banning sends the figures of the ban book. Who has not banned anybody yet is
// not in them, but is counted from zero where it is known.
func (s scrape) banning(snap *engine.Snapshot) {
	for kind, n := range snap.Bans.InForce {
		s.send(s.bans, float64(n), string(kind.Family), string(kind.Origin))
	}
	type author struct{ by, origin string }
	banned := map[author]uint64{{"manual", "manual"}: 0, {"trap", "local"}: 0}
	for name := range snap.Detectors {
		banned[author{name, "local"}] = 0
	}
	for a, n := range snap.Bans.Banned {
		banned[author{a.By, string(a.Origin)}] += n
	}
	for a, n := range banned {
		s.count(s.banned, n, a.by, a.origin)
	}
	s.counts(s.unbanned, snap.Bans.Unbanned)
	s.counts(s.suppressed, snap.Bans.Suppressed)
	for _, reason := range []string{ban.SuppressedRate, ban.SuppressedShare, ban.SuppressedSetFull} {
		s.send(s.braked, truth(snap.Bans.Storms[reason]), reason)
	}
}

func (s scrape) history(h *engine.HistoryStats) {
	s.send(s.storeOK, truth(h.Open && h.Failing == ""))
	s.send(s.storeSize, float64(h.Size))
	s.send(s.storeQueue, float64(h.Queued))
	s.count(s.storeWritten, h.Written)
	s.count(s.storeDropped, h.Dropped, "queue")
	s.count(s.storeDropped, h.Uncounted, "uncounted")
	s.count(s.storeFailures, h.Failed)
	s.count(s.storeSetAside, h.SetAside)
	s.count(s.storeTransactions, h.Batches)
	s.send(s.storeTransactionTime, h.Busy.Seconds())
}

func (s scrape) feeds(snap *engine.Snapshot) {
	for _, f := range snap.Feeds {
		s.send(s.feedEntries, float64(f.Entries), f.Name)
		s.send(s.feedOK, truth(f.Error == ""), f.Name)
		s.send(s.feedSuccess, unix(f.Fetched), f.Name)
		s.count(s.feedRefused, f.Refused, f.Name)
	}
}

func (s scrape) outputs(snap *engine.Snapshot) {
	for _, o := range snap.Outputs {
		s.count(s.outputSent, o.Sent, o.Name)
		s.count(s.outputFailed, o.Failed, o.Name)
		s.count(s.outputDropped, o.Dropped, o.Name)
		s.count(s.outputSuppressed, o.Suppressed, o.Name)
	}
	s.count(s.logDropped, snap.LogDropped)
}

// unix is a time in seconds since 1970, and 0 for no time.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1e3
}
