package store

import (
	"net/netip"
	"time"
)

// Kind is what an Entry tells of.
type Kind string

// The kinds.
const (
	Banned     Kind = "ban"
	Unbanned   Kind = "unban"
	Applied    Kind = "apply"     // a generation is in force on trial
	Confirmed  Kind = "confirm"   // a generation is
	RolledBack Kind = "rollback"  // by somebody, before the trial's end
	TrialEnded Kind = "trial_end" // a generation was not confirmed in time
	Restored   Kind = "restore"   // a confirmed generation is in force again
	Reset      Kind = "reset"     // everything is out of the kernel
	Drifted    Kind = "drift"     // somebody else changed the rules
	Audited    Kind = "audit"     // somebody asked for something
)

// Kinds are all kinds.
func Kinds() []Kind {
	return []Kind{Banned, Unbanned, Applied, Confirmed, RolledBack, TrialEnded, Restored, Reset, Drifted, Audited}
}

// An Entry is one thing that happened. What does not apply is zero.
type Entry struct {
	ID   int64 // rising, 0 for what is not stored yet
	Time time.Time
	Kind Kind

	Target   netip.Prefix // of a ban or an unban; of an Unbanned the zero Prefix means all
	Until    time.Time    // of a ban; the zero time for one without end
	Origin   string       // of a ban: "local" or "manual"
	By       string       // the detector, handler, trap or person
	Why      string       // of a ban, an unban, a rollback; what differs, of drift
	Evidence string       // what led to a ban, in more words
	Trial    bool         // of a ban: by a policy on trial, so that it is not to outlive a reboot

	Policy     string // the policy's entry file
	Generation uint64
	Digest     string // of the ruleset

	UID     int    // of an Audited: who asked, as the kernel tells it
	PID     int    // likewise
	Command string // of an Audited: what was asked for
	Outcome string // of an Audited: "ok", or the error
}

// A Ban is one ban in force.
type Ban struct {
	Target netip.Prefix
	Since  time.Time
	Until  time.Time // the zero time for one without end
	Origin string
	By     string
	Why    string
	Trial  bool // by a policy on trial
}

// An Event is one logged packet.
type Event struct {
	Time   time.Time
	Stream string
	Rule   string
	Src    netip.Addr
	Dst    netip.Addr
	Proto  uint8 // IPPROTO_* of netinet/in.h
	Sport  uint16
	Dport  uint16 // 0 where there is none
}
