package store

import (
	"net/netip"
	"time"
)

// Kind is what an Entry tells of.
type Kind string

// The kinds that this package knows the meaning of; there may be others.
const (
	Banned   Kind = "ban"
	Unbanned Kind = "unban"
	Applied  Kind = "apply" // a generation is in force on trial
	Audited  Kind = "audit" // somebody asked for something
)

// An Entry is one thing that happened. What does not apply is zero.
type Entry struct {
	ID   int64 // rising, 0 for what is not stored yet
	Time time.Time
	Kind Kind

	Target   netip.Prefix // of a ban or an unban; the zero Prefix for several at once
	Until    time.Time    // of a ban or a trial; the zero time for one without end
	Origin   string       // of a ban: "local" or "manual"
	By       string       // the detector, handler, trap, person or process
	Why      string       // the reason of a ban or its end; what differs, of drift; the text of a notice
	Evidence string       // what led to it, in more words

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
