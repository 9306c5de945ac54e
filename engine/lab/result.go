package lab

import (
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"moonlatch/engine/packet"
	"moonlatch/engine/ruleset"
)

// Verdict is what became of a packet.
type Verdict string

// The verdicts.
const (
	Accept Verdict = "accept"
	Drop   Verdict = "drop"
	Reject Verdict = "reject"
	Queue  Verdict = "queue"  // a program would have to decide
	Stolen Verdict = "stolen" // the rule itself went on with it, such as a synproxy
	Lost   Verdict = "lost"   // no rule dropped it, but the kernel did: no route, not a possible source
)

// Verdicts lists them.
func Verdicts() []string {
	return []string{string(Accept), string(Drop), string(Reject), string(Queue), string(Stolen), string(Lost)}
}

// What decides where it is no rule of the policy's.
const (
	ByBan    = "banned"  // the core table
	ByTrap   = "trapped" // a trap, before its ban is booked
	ByPolicy = "policy"  // the chain's
)

// Result is what became of a packet.
type Result struct {
	Packet  Packet
	Verdict Verdict
	Chain   string // that decided; "" where none did
	Rule    string // the deciding rule's name, or ByBan, ByTrap or ByPolicy
	Visits  []Visit
	After   *packet.Packet // as it came through, after NAT; nil if it did not
	Oif     string         // where it left; "" if it did not leave the host
	Answer  *Result        // of Connect: what became of the answer, if that did not pass
}

// Visit is one rule that was asked, or the policy of a chain.
type Visit struct {
	Family, Table, Chain string
	Hook                 string // of a base chain
	Rule                 Rule
	Matched              bool
	Verdict              string       // of a rule that matched, and of a policy: "accept", "jump web", "continue"
	Policy               bool         // it is the chain's policy, not a rule
	Compared             []Comparison // what the rule asked of the packet, as far as that can be told
}

// judge makes a result of what was traced.
func (l *Lab) judge(p Packet, steps []step) *Result {
	fate := l.fate(steps)
	r := &Result{Packet: p, Verdict: fate.Verdict, Chain: fate.Chain, Rule: fate.Rule}
	if l.left {
		after := l.logged
		r.After, r.Oif = &after, l.LinkName(after.Oif)
	}
	w := walker{rules: l.rules}
	for _, s := range steps {
		if s.table == ownTable {
			continue
		}
		if v := w.step(s, s.header(l.LinkName)); v != nil && s.final() {
			break
		}
	}
	r.Visits = w.visits
	return r
}

// fate is what became of the packet whose trace it was, and who decided it.
func (l *Lab) fate(steps []step) Fate {
	f := Fate{Verdict: Lost}
	if l.left {
		f.Verdict = Accept
	}
	var base *chain
	filter := false // a filter chain has decided
	for _, s := range steps {
		c, r := l.rules.of(s)
		if c == nil {
			continue
		}
		if c.hook != "" || base == nil {
			base = c
		}
		switch {
		case s.final():
			return Fate{ended(s.verdict, r.Text), c.name, decider(s, c, r)}
		case s.verdict == verdictAccept:
			isFilter := base.kind == "filter" && (base.hook == "input" || base.hook == "forward" || base.hook == "output")
			if s.table != ruleset.CoreTable && base.name != ruleset.Trapped && (isFilter || !filter) {
				f.Chain, f.Rule, filter = c.name, decider(s, c, r), isFilter
			}
		}
	}
	if f.Verdict == Lost {
		f.Chain, f.Rule = "", ""
	}
	return f
}

var rejects = regexp.MustCompile(`(^|\s)reject(\s|$)`)

func ended(verdict int32, text string) Verdict {
	switch {
	case verdict == verdictStolen:
		return Stolen
	case verdict == verdictQueue:
		return Queue
	case rejects.MatchString(text):
		return Reject
	}
	return Drop
}

// decider names what decided at a step: a rule of a chain, or the chain's policy.
func decider(s step, c *chain, r Rule) string {
	switch {
	case s.kind != traceRule:
		return ByPolicy
	case s.table == ruleset.CoreTable:
		return ByBan
	case c.name == ruleset.Trapped:
		return ByTrap
	}
	return r.Name
}

// walker follows a packet through the chains.
type walker struct {
	rules  *rules
	base   *chain // the base chain that the packet is in
	stack  []frame
	visits []Visit
	packet header // as the base chain found it
}

// frame is a chain that the packet is in, and the next rule of it.
type frame struct {
	*chain
	next int
}

// step follows the packet to where a trace message finds it, noting the rules that it passed
// on the way, and returns the visit that the message tells of.
func (w *walker) step(s step, now header) *Visit {
	table := familyName(s.family) + " " + s.table
	c := w.rules.chains[chainKey(table, s.chain)]
	if c == nil {
		return nil
	}
	w.enter(c)
	if now.known {
		w.packet = now
	}
	top := &w.stack[len(w.stack)-1]
	if s.kind != traceRule {
		w.pass(top, len(c.rules))
		w.add(Visit{Verdict: verdictName(s), Policy: true, Matched: true}, c)
		w.stack = nil
		return &w.visits[len(w.visits)-1]
	}
	i := c.find(s.handle)
	if i < 0 {
		return nil
	}
	w.pass(top, i)
	top.next = i + 1
	w.add(Visit{Rule: c.rules[i], Matched: true, Verdict: verdictName(s), Compared: compare(c.rules[i].Text, &w.packet)}, c)
	switch target := w.rules.chains[chainKey(table, s.target)]; {
	case s.verdict == verdictGoto && target != nil:
		w.stack[len(w.stack)-1] = frame{chain: target}
	case s.verdict == verdictJump && target != nil:
		w.stack = append(w.stack, frame{chain: target})
	case s.verdict == verdictReturn && len(w.stack) > 1:
		w.stack = w.stack[:len(w.stack)-1]
	case s.verdict >= 0:
		w.stack = nil
	}
	return &w.visits[len(w.visits)-1]
}

// enter makes c the chain that the packet is in: it has left those behind it, or has come to another hook.
func (w *walker) enter(c *chain) {
	if c.hook != "" && (len(w.stack) == 0 || w.base != c) {
		for len(w.stack) > 0 {
			w.leave()
		}
		w.base, w.stack = c, []frame{{chain: c}}
		return
	}
	for len(w.stack) > 0 && w.stack[len(w.stack)-1].chain != c {
		w.leave()
	}
	if len(w.stack) == 0 {
		w.stack = []frame{{chain: c}}
		if w.base == nil {
			w.base = c
		}
	}
}

// leave passes what is left of a chain.
func (w *walker) leave() {
	top := &w.stack[len(w.stack)-1]
	w.pass(top, len(top.rules))
	w.stack = w.stack[:len(w.stack)-1]
}

// pass notes the rules that did not match.
func (w *walker) pass(f *frame, to int) {
	for ; f.next < to; f.next++ {
		rule := f.rules[f.next]
		w.add(Visit{Rule: rule, Compared: compare(rule.Text, &w.packet)}, f.chain)
	}
}

func (w *walker) add(v Visit, c *chain) {
	v.Family, v.Table, _ = strings.Cut(c.table, " ")
	v.Chain, v.Hook = c.name, c.hook
	w.visits = append(w.visits, v)
}

func verdictName(s step) string {
	switch s.verdict {
	case verdictDrop:
		return "drop"
	case verdictAccept:
		return "accept"
	case verdictStolen:
		return "stolen"
	case verdictQueue:
		return "queue"
	case verdictJump:
		return "jump " + s.target
	case verdictGoto:
		return "goto " + s.target
	case verdictReturn:
		return "return"
	}
	return "continue"
}

func familyName(family uint8) string {
	switch family {
	case unix.NFPROTO_IPV4:
		return "ip"
	case unix.NFPROTO_IPV6:
		return "ip6"
	case unix.NFPROTO_ARP:
		return "arp"
	case unix.NFPROTO_BRIDGE:
		return "bridge"
	case unix.NFPROTO_NETDEV:
		return "netdev"
	}
	return "inet"
}

// NAT is how the packet's addresses had changed when it came through, "" if they had not.
func (r *Result) NAT() string {
	if r.After == nil {
		return ""
	}
	then := r.Packet
	then.Src, then.Dst, then.Sport, then.Dport = r.After.Src, r.After.Dst, r.After.Sport, r.After.Dport
	if !r.After.HasPorts {
		then.Sport, then.Dport = r.Packet.Sport, r.Packet.Dport
	}
	if was, is := r.Packet.ends(), then.ends(); was != is {
		return is
	}
	return ""
}
