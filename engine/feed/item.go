// Package feed tells whoever listens what happens: packet events, bans,
// generations, drift, faults of callbacks. Whatever publishes never waits for who listens.
package feed

import (
	"encoding"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"moonlatch/engine/ruleset"
)

// Kind says what happened, and with it which part of an Item is set.
type Kind string

// The kinds.
const (
	KindEvent    Kind = "event"     // a rule logged a packet: Event
	KindBan      Kind = "ban"       // Ban
	KindUnban    Kind = "unban"     // Ban, with the reason
	KindWouldBan Kind = "would_ban" // a detector in shadow mode would have banned: Ban
	KindRefused  Kind = "refused"   // the kernel refused a ban: Ban, with the reason
	KindApply    Kind = "apply"     // a generation is on trial: Generation
	KindExtend   Kind = "extend"    // its trial lasts longer: Generation
	KindConfirm  Kind = "confirm"   // Generation
	KindRollback Kind = "rollback"  // somebody ended the trial: Generation
	KindTrialEnd Kind = "trial_end" // the kernel ended the trial, unconfirmed: Generation
	KindReset    Kind = "reset"     // everything passes: Generation, the last of those taken away
	KindDrift    Kind = "drift"     // somebody else changed the rules: Drift
	KindLease    Kind = "lease"     // the liveness lease is in trouble, ran out, or is renewed again: Lease
	KindFault    Kind = "fault"     // a callback of the policy's failed: Fault
	KindBrake    Kind = "brake"     // a storm of bans is braked, or over: Notice
	KindList     Kind = "list"      // a list of addresses was refused: Notice
	KindHistory  Kind = "history"   // the history cannot be written or misses something, or that is over: Notice
	KindNotice   Kind = "notice"    // what a policy tells a target of notifications: Notice
)

// Kinds lists all kinds, in the order in which documentation tells of them.
func Kinds() []Kind {
	return []Kind{
		KindEvent, KindBan, KindUnban, KindWouldBan, KindRefused, KindApply, KindExtend, KindConfirm, KindRollback, KindTrialEnd, KindReset,
		KindDrift, KindLease, KindFault, KindBrake, KindList, KindHistory, KindNotice,
	}
}

// ParseKind is the kind of a name. The error suggests the nearest.
func ParseKind(name string) (Kind, error) {
	var known []string
	for _, k := range Kinds() {
		if string(k) == name {
			return k, nil
		}
		known = append(known, string(k))
	}
	return "", fmt.Errorf("no kind of event is called %q%s: there are %s", name, ruleset.Suggest(name, known), strings.Join(known, ", "))
}

// Item is one thing that happened. Its JSON is part of the control API.
type Item struct {
	ID   uint64    `json:"id"` // rises, also from one daemon to the next
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`

	Event      Event       `json:"event,omitzero"`
	Ban        *Ban        `json:"ban,omitempty"`
	Generation *Generation `json:"generation,omitempty"`
	Drift      *Drift      `json:"drift,omitempty"`
	Lease      *Lease      `json:"lease,omitempty"`
	Fault      *Fault      `json:"fault,omitempty"`
	Notice     *Notice     `json:"notice,omitempty"`
}

// Ban is a ban that was made, lifted or refused.
type Ban struct {
	Target   Target    `json:"target"`
	Until    time.Time `json:"until,omitzero"` // zero: for ever, or not known
	By       string    `json:"by,omitempty"`
	Why      string    `json:"why,omitempty"`
	Evidence string    `json:"evidence,omitempty"` // what led to it, in more words
	Origin   string    `json:"origin,omitempty"`
	Reason   string    `json:"reason,omitempty"` // of its end, or of the refusal
	Count    int       `json:"count,omitempty"`  // how many ended together, where Target does not say which
}

// Generation is a generation whose state changed.
type Generation struct {
	Number   uint64    `json:"generation"`
	Policy   string    `json:"policy,omitempty"`
	Digest   string    `json:"digest,omitempty"` // of the ruleset
	By       string    `json:"by,omitempty"`
	Until    time.Time `json:"until,omitzero"` // of a trial, when the kernel ends it
	Fallback string    `json:"fallback,omitempty"`
	Session  string    `json:"session,omitempty"` // of a confirm: new, old or unknown
	Why      string    `json:"why,omitempty"`     // the session is unknown
	Bans     int       `json:"bans,omitempty"`    // taken away by a reset
}

// What was done about drift.
const (
	DriftHealed   = "healed"
	DriftReported = "reported"
	DriftGaveUp   = "gave_up"
	DriftBans     = "bans_restored" // the bans were taken out, and are back
)

// Drift is a change of our rules by somebody else.
type Drift struct {
	What    string `json:"drift,omitempty"`
	Done    string `json:"done"`
	Process string `json:"process,omitempty"`
	PID     int    `json:"pid,omitempty"`
}

// What became of a liveness lease.
const (
	LeaseFailing = "failing" // it is not renewed, and will run out
	LeaseOpen    = "open"    // it ran out: everything passes
	LeaseFilters = "filters" // it is renewed after it ran out: the generation filters again
	LeaseRenewed = "renewed" // all is well again, in time
)

// Lease is a liveness lease in trouble, or out of it.
type Lease struct {
	Generation uint64  `json:"generation"`
	State      string  `json:"state"`
	Seconds    float64 `json:"seconds,omitempty"` // left of one that fails, the whole of one that ran out, how long everything passed of one that filters again
	Why        string  `json:"why,omitempty"`
	Traceback  string  `json:"traceback,omitempty"` // of the policy's check
}

// Fault is a failure of a callback of the policy's.
type Fault struct {
	Callback  string `json:"callback"`
	Kind      string `json:"callback_kind"` // handler, action, timer or check
	Place     string `json:"at"`
	Reason    string `json:"reason"` // runtime or timeout
	Message   string `json:"message"`
	Traceback string `json:"traceback,omitempty"`
	Off       bool   `json:"off"` // it was switched off: it has failed too often
}

// Notice is something worth telling a person.
type Notice struct {
	To     string  `json:"to,omitempty"` // the one target of notifications that is told
	By     string  `json:"by,omitempty"` // who tells it
	Title  string  `json:"title"`
	Text   string  `json:"text,omitempty"`
	Fields []Field `json:"fields,omitempty"`
}

// Field is a named value of a notice.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Target is what a ban bans. Its text is an address, or a prefix that holds several.
type Target struct{ netip.Prefix }

var (
	_ encoding.TextMarshaler   = Target{}
	_ encoding.TextUnmarshaler = (*Target)(nil)
)

// String is "203.0.113.9" or "2001:db8::/64", and "" of the zero Target.
func (t Target) String() string {
	switch {
	case !t.IsValid():
		return ""
	case t.IsSingleIP():
		return t.Addr().String()
	}
	return t.Prefix.String()
}

// MarshalText implements encoding.TextMarshaler.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Target) UnmarshalText(text []byte) (err error) {
	s := string(text)
	switch {
	case s == "":
		t.Prefix = netip.Prefix{}
	case strings.Contains(s, "/"):
		t.Prefix, err = netip.ParsePrefix(s)
	default:
		var a netip.Addr
		if a, err = netip.ParseAddr(s); err == nil {
			t.Prefix = netip.PrefixFrom(a, a.BitLen())
		}
	}
	if err != nil {
		return fmt.Errorf("target %q is no address or prefix: %w", s, err)
	}
	return nil
}
