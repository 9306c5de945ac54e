package metrics

import "github.com/prometheus/client_golang/prometheus"

// family is one metric that a snapshot tells.
type family struct {
	name string
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// families is every metric that a snapshot tells.
type families struct {
	up                         family
	rulePackets, ruleBytes     family
	bannedPackets, bannedBytes family
	chainRules, rulesetInfo    family
	setElements, setLimit      family

	watchdogArmed, watchdogDeadline, rollbacks family
	reloadOK, reloadTime                       family
	drift, drifted                             family

	livenessLease, livenessDeadline, livenessOK          family
	livenessRenewals, livenessFailures, livenessOpenings family

	events, lost, overruns        family
	datagrams, threshold, tunings family
	queueLength, queueLimit       family

	policyEvents, policyErrors family
	policyLoaded, policyOff    family
	policyHeld                 family

	callbackCalls, callbackErrors, callbackSeconds, callbackOff family

	detectorEvents, detectorHits, detectorEvicted family
	detectorTracked, detectorLimit                family

	bans, banned, unbanned, suppressed, braked family

	storeOK, storeSize, storeQueue, storeWritten, storeDropped            family
	storeFailures, storeSetAside, storeTransactions, storeTransactionTime family

	feedEntries, feedOK, feedSuccess, feedRefused family

	outputSent, outputFailed, outputDropped, outputSuppressed family
	logDropped                                                family

	descs []*prometheus.Desc
}

func newFamilies() *families {
	f := &families{}
	f.kernel()
	f.trial()
	f.liveness()
	f.packets()
	f.policy()
	f.banning()
	f.history()
	f.outputs()
	f.feeds()
	return f
}

func (f *families) kernel() {
	f.up = f.gauge("up", "Whether the daemon can read the kernel's ruleset (1) or not (0); without it, rule and ban counters are missing.")
	f.rulePackets = f.counter("rule_packets_total", "Packets that a rule of the policy matched, by the rule's name.", "chain", "rule", "verdict")
	f.ruleBytes = f.counter("rule_bytes_total", "Bytes of the packets that a rule of the policy matched, by the rule's name.", "chain", "rule", "verdict")
	f.bannedPackets = f.counter("banned_packets_total", "Packets dropped because their source was banned.", "family")
	f.bannedBytes = f.counter("banned_bytes_total", "Bytes of the packets dropped because their source was banned.", "family")
	f.chainRules = f.gauge("chain_rules", "Kernel rules in a chain of the generation in force.", "chain")
	f.setElements = f.gauge("set_elements", "Elements in a set of the policy in force or of the core table, as far as the kernel counts them (Linux 6.16).", "set")
	f.setLimit = f.gauge("set_elements_limit", "Most elements that a set holds to which rules or bans add; 0 when it has no limit.", "set")
	f.rulesetInfo = f.gauge("ruleset_info", "Identity of the ruleset in force: its digest and its policy's entry file; missing when everything passes.", "sha256", "source")
}

func (f *families) trial() {
	f.watchdogArmed = f.gauge("watchdog_armed", "Whether a ruleset is on trial (1) or not (0).")
	f.watchdogDeadline = f.gauge("watchdog_deadline_timestamp_seconds", "Unix time at which the kernel ends an unconfirmed trial; 0 when there is none.")
	f.rollbacks = f.counter("watchdog_rollbacks_total", "Rulesets that ceased to be in force without another being applied: not confirmed in time (deadline), rolled back by hand (manual), reset to an open firewall (reset).", "reason")
	f.drift = f.counter("drift_total", "Changes of the rules in the kernel by others than moonlatch, by what was done: put back (healed), left as the policy wants it (reported), left because it was put back too often (gave_up).", "action")
	f.drifted = f.gauge("drifted", "Whether the rules in the kernel are not what moonlatch means, because somebody else changed them (1), or are (0).")
	f.reloadOK = f.gauge("config_last_reload_success", "Whether the last reload of the policy succeeded (1) or not (0); 1 before the first.")
	f.reloadTime = f.gauge("config_last_reload_success_timestamp_seconds", "Unix time of the last reload of the policy that succeeded; 0 before the first.")
}

func (f *families) liveness() {
	f.livenessLease = f.gauge("liveness_lease_seconds", "Length of the liveness lease: without the daemon's renewals, everything passes after that long; 0 when there is none.")
	f.livenessDeadline = f.gauge("liveness_deadline_timestamp_seconds", "Unix time at which the liveness lease runs out if it is not renewed, or ran out; 0 when there is none.")
	f.livenessOK = f.gauge("liveness_ok", "Whether all was well when the daemon looked last (1) or it did not renew the liveness lease (0); 1 when there is none.")
	f.livenessRenewals = f.counter("liveness_renewals_total", "Renewals of the liveness lease.")
	f.livenessFailures = f.counter("liveness_failures_total", "Times that the liveness lease was not renewed: the reader of packet events hung (reader), the policy's callbacks did (caller), the policy's check failed (check), the kernel refused (kernel).", "reason")
	f.livenessOpenings = f.counter("liveness_openings_total", "Times that the liveness lease ran out, so that everything passed.")
}

func (f *families) packets() {
	f.events = f.counter("nflog_events_total", "Packet events received from the kernel, by NFLOG group.", "group")
	f.lost = f.counter("nflog_lost_events_total", "Packet events lost: by the kernel for want of room (kernel), not decoded or of no rule in force (decode), not handed to a busy policy (queue).", "source")
	f.overruns = f.counter("nflog_overruns_total", "Times that the kernel found the daemon's receive buffer full (ENOBUFS). How many events that lost is told by nflog_lost_events_total.")
	f.datagrams = f.counter("nflog_datagrams_total", "Messages that brought packet events; each holds a batch of them.")
	f.threshold = f.gauge("nflog_queue_threshold", "Packet events that the kernel gathers before it wakes the daemon, for no longer than a timer tick: 1 at low rates.")
	f.tunings = f.counter("nflog_tunings_total", "Times that the queue threshold followed the rate of events.")
	f.queueLength = f.gauge("nflog_queue_length", "Events and hits that wait for the policy's callbacks.")
	f.queueLimit = f.gauge("nflog_queue_limit", "Events and hits that can wait for the policy's callbacks before the oldest is dropped.")
}

func (f *families) policy() {
	f.policyEvents = f.counter("policy_events_total", "Calls of a policy's callbacks: for packet events, detector hits and timers.", "policy")
	f.policyErrors = f.counter("policy_errors_total", "Callbacks of a policy that failed: by an error of their own (runtime) or stopped at their limits (timeout).", "policy", "reason")
	f.policyLoaded = f.gauge("policy_loaded", "Whether the policy of the ruleset in force runs (1), or only its ruleset is in force (0).", "policy")
	f.policyOff = f.gauge("policy_callbacks_off", "Callbacks of a policy that were switched off because they kept failing.", "policy")
	f.policyHeld = f.counter("policy_notices_held_total", "Notifications of a policy that were not sent because it sent too many.", "policy")
	f.callbackCalls = f.counter("callback_calls_total", "Calls of a handler, a detector's action, a timer or the watchdog's check, by its name.", "callback", "kind")
	f.callbackErrors = f.counter("callback_errors_total", "Calls of a callback that failed: by an error of its own (runtime) or stopped at its limits (timeout).", "callback", "kind", "reason")
	f.callbackSeconds = f.counter("callback_seconds_total", "Time that the calls of a callback took.", "callback", "kind")
	f.callbackOff = f.gauge("callback_off", "Whether a callback was switched off because it kept failing (1) or not (0).", "callback", "kind")
	f.detectorEvents = f.counter("detector_events_total", "Packet events that a detector looked at.", "detector")
	f.detectorTracked = f.gauge("detector_tracked", "Sources that a detector holds, with those whose window has run out until their place is needed.", "detector")
	f.detectorLimit = f.gauge("detector_tracked_limit", "Most sources that a detector holds.", "detector")
	f.detectorHits = f.counter("detector_hits_total", "Sources that crossed a detector's threshold.", "detector")
	f.detectorEvicted = f.counter("detector_evicted_total", "Sources that a detector forgot before their time because its table was full.", "detector")
}

func (f *families) banning() {
	f.bans = f.gauge("bans", "Bans in force.", "family", "origin")
	f.banned = f.counter("bans_total", "Bans put in force, by the detector, callback, trap or person that asked for them.", "by", "origin")
	f.unbanned = f.counter("unbans_total", "Bans that ended: their time was over (expired), lifted (request), their address is protected now (protected), the trial in which they were made was not confirmed (trial), they made room for a longer one (evicted).", "reason")
	f.suppressed = f.counter("bans_suppressed_total", "Bans asked for and not put in force: of a protected address (protected), banned already (duplicate), of no source (invalid), too many at once (queue_full), no room in the kernel's set (set_full), the trial was over (trial_over), refused by the kernel (kernel), held back by the brake (rate_limit; share: too much of a prefix), this host has a connection open to it (connected).", "reason")
	f.braked = f.gauge("bans_braked", "Whether bans are held back at the moment (1) or not (0): by the brake (rate_limit, share), or because their set is full and holds nothing weaker (set_full).", "reason")
}

func (f *families) history() {
	f.storeOK = f.gauge("store_ok", "Whether the history could be written last (1) or not (0).")
	f.storeSize = f.gauge("store_size_bytes", "Size of the history on disk.")
	f.storeQueue = f.gauge("store_queue_length", "Records that wait to be written to the history.")
	f.storeWritten = f.counter("store_written_total", "Records written to the history.")
	f.storeDropped = f.counter("store_dropped_writes_total", "Records that are missing in the history: there was no room or no store for them (queue), packet events that came too fast to be counted (uncounted).", "reason")
	f.storeFailures = f.counter("store_write_failures_total", "Attempts to write to the history that failed, and were tried again.")
	f.storeSetAside = f.counter("store_set_aside_total", "Histories that could not be read, and were set aside for a new one.")
	f.storeTransactions = f.counter("store_transactions_total", "Transactions that wrote to the history.")
	f.storeTransactionTime = f.counter("store_transaction_seconds_total", "Time that those took.")
}

func (f *families) feeds() {
	f.feedEntries = f.gauge("feed_entries", "Entries of the last good copy of a list that fw.feed keeps up to date.", "feed")
	f.feedOK = f.gauge("feed_ok", "Whether the last attempt to update a feed succeeded (1) or not (0); its last good copy stays in force.", "feed")
	f.feedSuccess = f.gauge("feed_last_success_timestamp_seconds", "Unix time at which a feed brought a new list last; 0 if it never did.", "feed")
	f.feedRefused = f.counter("feed_refused_total", "Lists that came and were not taken: malformed, shrunk too much, too large, or covering what is protected.", "feed")
}

func (f *families) outputs() {
	f.outputSent = f.counter("output_sent_total", "What was sent to a notification's target, a file of events, or a syslog server, by the output's name.", "output")
	f.outputFailed = f.counter("output_failed_total", "Attempts to send that failed.", "output")
	f.outputDropped = f.counter("output_dropped_total", "What was not sent: given up, or overwritten while it waited.", "output")
	f.outputSuppressed = f.counter("output_suppressed_total", "What an output's rate limit held back.", "output")
	f.logDropped = f.counter("log_dropped_lines_total", "Lines of the daemon's log that were not written: whoever takes them, such as journald, took none for too long, or has gone.")
}

func (f *families) counter(name, help string, labels ...string) family {
	return f.add(name, help, prometheus.CounterValue, labels)
}

func (f *families) gauge(name, help string, labels ...string) family {
	return f.add(name, help, prometheus.GaugeValue, labels)
}

func (f *families) add(name, help string, kind prometheus.ValueType, labels []string) family {
	desc := prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	f.descs = append(f.descs, desc)
	return family{name, desc, kind}
}
