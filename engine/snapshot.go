package engine

import (
	"errors"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"moonlatch/engine/ban"
	"moonlatch/engine/blocklist"
	"moonlatch/engine/control"
	"moonlatch/engine/detect"
	"moonlatch/engine/feed"
	"moonlatch/engine/nft"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
)

// Snapshot is the state of a daemon at one instant, for metrics.
type Snapshot struct {
	KernelErr error // why the kernel could not be read; the fields it fills are then zero
	Rules     []RuleCount
	Chains    map[string]int // rules in each chain
	Banned    []BannedCount
	Sets      []SetCount

	Generation   uint64 // in force, 0 when none is
	Policy       string // its policy's entry file, "" when none is in force
	PolicyRuns   bool   // whether that policy's detectors and handlers run
	CallbacksOff int    // its callbacks that were switched off because they kept failing
	NoticesHeld  uint64 // notifications of its own that were not sent because they were too many
	Digest       string // of the ruleset in force, "" when everything passes

	TrialDeadline time.Time // zero when nothing is on trial
	Rollbacks     map[string]uint64
	Drift         map[string]uint64 // changes of the rules by others, by what was done
	Drifted       bool              // one of them is not put right
	ReloadOK      bool
	ReloadedAt    time.Time

	Liveness Liveness

	LogDropped uint64 // lines of the log that were not written

	Outputs []feed.OutputStats // of what takes items of the feed elsewhere
	Feeds   []blocklist.State  // lists of others that are kept up to date

	Group       uint16 // of NFLOG
	Events      uint64 // received from NFLOG
	Datagrams   uint64 // that brought them
	Threshold   uint32 // events that the kernel gathers in one, where so many come in time
	Tunings     uint64 // times that the threshold followed the rate
	Overruns    uint64 // times that the kernel found the receive buffer full
	LostKernel  uint64 // the kernel could not hand over
	LostDecode  uint64 // could not be decoded, or belonged to no rule
	LostQueue   uint64 // dropped because the callbacks were busy
	QueueLength int
	QueueLimit  int
	Handed      uint64 // callbacks taken from the queue

	// Of the running policy's callbacks: finished calls, and of these those that
	// an error ended and those that were stopped at their limits.
	Calls, Errors, Timeouts uint64
	Callbacks               []CallbackCount

	Bans      ban.Stats
	History   HistoryStats
	Unbooked  uint64 // bans dropped because the ban queue was full
	Detectors map[string]detect.Stats
}

// CallbackCount is what one callback of the running policy has done.
type CallbackCount struct {
	Name, Kind string
	Off        bool // switched off because it kept failing
	policy.CallbackStats
}

// RuleCount is what a rule of the generation in force has matched.
type RuleCount struct {
	Chain, Rule, Verdict string
	Packets, Bytes       uint64
}

// SetCount is how much a set of the author's, or of the core table, holds, as far as the kernel tells.
type SetCount struct {
	Set             string
	Elements, Limit int // the limit is 0 where there is none, and where nothing is added
}

// BannedCount is what the bans of an address family have dropped.
type BannedCount struct {
	Family         string
	Packets, Bytes uint64
}

// Snapshot reads the daemon's counters, and the kernel's. It lists no set.
func (d *Daemon) Snapshot() Snapshot {
	s := Snapshot{Group: ruleset.Group, QueueLimit: queueLimit, Chains: map[string]int{}}
	rt := d.running.Load() // once: the policy may change meanwhile, and its rules must be those of its generation
	s.KernelErr = d.readKernel(&s, rt)
	n, q := d.reader.nflog.Stats(), d.queue.stats()
	s.Events, s.Datagrams, s.LostKernel, s.Overruns = n.Events, n.Datagrams, n.Lost, n.Overruns
	s.Threshold, s.Tunings = n.Threshold, n.Tunings
	s.LostDecode = n.Malformed + d.reader.undecoded.Load() + d.reader.unrouted.Load()
	s.LostQueue, s.QueueLength, s.Handed = q.dropped, q.waiting, q.taken
	s.Bans, s.Unbooked = d.bans.Stats(), d.reader.unbooked.Load()
	s.Drift = map[string]uint64{
		"healed":   d.drift.count[driftHealed].Load(),
		"reported": d.drift.count[driftReported].Load(),
		"gave_up":  d.drift.count[driftGaveUp].Load(),
	}
	s.Drifted = d.drift.nowAmiss() != ""
	s.Rollbacks = map[string]uint64{
		"deadline": d.counters.rollbacks[byDeadline].Load(),
		"manual":   d.counters.rollbacks[byHand].Load(),
		"reset":    d.counters.rollbacks[byReset].Load(),
	}
	s.Liveness = d.liveness.snapshot()
	s.Feeds = d.feedKeeper.States()
	s.History = d.history.stats()
	s.LogDropped = d.spool.Dropped()
	for _, o := range d.outputs {
		s.Outputs = append(s.Outputs, o.Stats()...)
	}
	s.ReloadOK = d.counters.reloadOK.Load()
	if at := d.counters.reloadedAt.Load(); at != 0 {
		s.ReloadedAt = time.Unix(0, at)
	}
	if broken := d.broken.Load(); broken != nil {
		s.Generation, s.Policy, s.Digest = broken.Number, broken.Policy, broken.Digest
	}
	if rt != nil {
		rt.fill(&s)
	}
	if s.Liveness.Open {
		s.Digest = "" // its policy runs on, for the case that the lease is renewed
	}
	if deadline := d.deadline.Load(); deadline != nil {
		s.TrialDeadline = *deadline
	}
	return s
}

func (rt *runtime) fill(s *Snapshot) {
	rules := rt.policy.Ruleset()
	s.Generation, s.Policy, s.PolicyRuns, s.Digest = rt.generation, rules.Policy, true, rt.digest
	s.NoticesHeld = rt.policy.HeldNotices()
	for _, c := range rt.callbacks() {
		if c.Off() {
			s.CallbacksOff++
		}
		stats := c.Stats()
		s.Callbacks = append(s.Callbacks, CallbackCount{c.Name, c.Kind, c.Off(), stats})
		s.Calls += stats.Calls
		s.Errors += stats.Errors
		s.Timeouts += stats.Timeouts
	}
	s.Detectors = map[string]detect.Stats{}
	for _, dt := range rt.detectors {
		s.Detectors[dt.Name] = dt.state.Stats()
	}
}

// PolicyMetrics returns the metrics that the policy in force declares.
func (d *Daemon) PolicyMetrics() []prometheus.Metric {
	if rt := d.running.Load(); rt != nil {
		return rt.policy.Metrics()
	}
	return nil
}

// readKernel reads the counters of the rules of rt, if it is not nil, and of the bans.
func (d *Daemon) readKernel(s *Snapshot, rt *runtime) error {
	counters, err := d.nft.Counters(nft.Table{Family: nft.Inet, Name: ruleset.CoreTable})
	if unreadable(err) {
		return err
	}
	for _, c := range counters {
		if family, ok := map[string]string{"banned4": "ipv4", "banned6": "ipv6"}[c.Name]; ok {
			s.Banned = append(s.Banned, BannedCount{family, c.Packets, c.Bytes})
		}
	}
	if err := d.readSets(s, nft.Table{Family: nft.Inet, Name: ruleset.CoreTable}); err != nil || rt == nil {
		return err
	}
	for _, f := range rt.policy.Ruleset().Families() {
		family, err := nft.ParseFamily(string(f))
		if err != nil {
			return err
		}
		t := nft.Table{Family: family, Name: ruleset.Table(rt.generation)}
		if err := errors.Join(d.readRules(s, rt.policy.Ruleset(), t), d.readSets(s, t)); err != nil {
			return err
		}
	}
	return nil
}

// readSets asks how many elements there are: the kernel counts them, and nothing is listed. The sets that rules need have a dot in their
// names, and the number of the rule: they would be new ones with every apply.
func (d *Daemon) readSets(s *Snapshot, t nft.Table) error {
	sets, err := d.nft.Sets(t)
	if unreadable(err) {
		return err
	}
	for _, set := range sets {
		gate := set.Name == ruleset.Lease || set.Name == ruleset.Yield || set.Name == ruleset.Alive
		if set.Count < 0 || gate || strings.Contains(set.Name, ".") {
			continue
		}
		c := SetCount{Set: set.Name, Elements: set.Count}
		if set.Dynamic || set.HasTimeout {
			c.Limit = set.Size // others are as large as what they hold
		}
		s.Sets = append(s.Sets, c)
	}
	return nil
}

// unreadable reports whether nothing was read. Bans that are made all the time
// interrupt every listing, but have nothing to do with what is listed here.
func unreadable(err error) bool { return err != nil && !errors.Is(err, nft.ErrInterrupted) }

// readRules adds up the kernel rules of each of the policy's rules.
func (d *Daemon) readRules(s *Snapshot, set *ruleset.Ruleset, t nft.Table) error {
	rules, err := d.nft.Rules(t)
	if unreadable(err) {
		return err
	}
	type key struct{ chain, rule string }
	sums := map[key]*RuleCount{}
	for _, r := range rules {
		s.Chains[r.Chain]++
		if !r.HasCounter || r.Comment == "" {
			continue
		}
		k := key{r.Chain, r.Comment}
		if sums[k] == nil {
			sums[k] = &RuleCount{Chain: r.Chain, Rule: r.Comment}
		}
		sums[k].Packets += r.Packets
		sums[k].Bytes += r.Bytes
	}
	for _, c := range set.Chains {
		for _, r := range c.Rules {
			if sum := sums[key{c.Name, r.Name}]; sum != nil {
				sum.Verdict = r.Verdict()
				s.Rules = append(s.Rules, *sum)
			}
		}
	}
	return nil
}

// status is what the control API tells of the daemon.
func (d *Daemon) status() *control.DaemonStatus {
	n, q := d.reader.nflog.Stats(), d.queue.stats()
	out := &control.DaemonStatus{
		PID: os.Getpid(), Since: d.since, Events: n.Events, Lost: n.Lost + q.dropped, Bans: inForceCount(d.bans),
		Liveness: d.liveness.status(), Drift: d.drift.nowAmiss(),
	}
	rt := d.running.Load()
	if rt == nil {
		return out
	}
	out.Policy, out.Generation = rt.policy.Ruleset().Policy, rt.generation
	for _, dt := range rt.detectors {
		out.Callbacks = append(out.Callbacks, control.CallbackInfo{Name: dt.Name, Kind: "detector", Place: dt.Pos.String(), Hits: dt.state.Stats().Hits})
	}
	for _, c := range rt.callbacks() {
		out.Callbacks = append(out.Callbacks, control.CallbackInfo{Name: c.Name, Kind: c.Kind, Place: c.Pos.String(), Off: c.Off(), Hits: c.Stats().Calls})
	}
	return out
}
