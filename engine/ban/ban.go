package ban

import (
	"errors"
	"net/netip"
	"time"
)

// What a ban can be refused for. Test with errors.Is.
var (
	ErrBadTarget = errors.New("cannot be banned")
	ErrBadTime   = errors.New("no time to ban for")
	ErrProtected = errors.New("is protected")
	ErrDuplicate = errors.New("is banned already")
	ErrTrialOver = errors.New("the trial is over")
	ErrNotBanned = errors.New("is not banned")
	ErrConnected = errors.New("is spared: this host has a connection open to it")
)

// MaxTime is the longest ban.
const MaxTime = 10 * 365 * 24 * time.Hour

// Origin says who decided on a ban.
type Origin string

// The origins.
const (
	Local  Origin = "local"  // a policy on this host
	Manual Origin = "manual" // a person
)

// Ban is a ban in force.
type Ban struct {
	Target netip.Prefix
	Since  time.Time // when its present time began to run
	Until  time.Time // the zero time for an element without timeout, which only others add
	Why    string
	By     string // the detector, the handler or the person
	Origin Origin
	// Offence is which of the target's it is, counting from 1, where this Book has just made the ban. It is 0
	// where a ban is listed: the kernel does not keep it.
	Offence int
	// Evidence is what a detector saw, as Config.Booked is told it. The kernel keeps only Why.
	Evidence *Evidence
}

// Evidence is what a detector counted until it had enough. It does not change.
type Evidence struct {
	Count       int64
	Of          string // what was counted: "packets", "ports"
	First, Last time.Time
	Ports       []uint16     // at most 64 of them
	Addrs       []netip.Addr // likewise
}

// Request asks for a ban.
type Request struct {
	Target netip.Prefix
	// Times is how long to ban, or a ladder: the nth offence of a target gets the
	// nth time, and the last one from there on. While the target is banned, it is
	// the same offence.
	Times []time.Duration
	// Why and By are kept in the kernel, which has room for 128 bytes together. A
	// colon in By becomes a semicolon.
	Why, By string
	Origin  Origin    // "" is Local
	Packet  time.Time // when the deciding packet arrived, if there is one; only for Config.Observe

	SpareConnected bool // bans nobody whom this host has connected to, see Config.Connected
	Cut            bool // ends what is established with the target, see Config.Cut
	// Evidence is handed through to Config.Booked. May be nil.
	Evidence *Evidence

	nth int // at least the nth offence
}

// normal returns r with its target in canonical form and its defaults filled in.
func (r Request) normal() (Request, error) {
	target, err := normalTarget(r.Target)
	if err != nil {
		return r, err
	}
	r.Target = target
	if err := checkTimes(r.Times); err != nil {
		return r, err
	}
	if r.Origin == "" {
		r.Origin = Local
	}
	return r, nil
}

// longest returns the longest of the times.
func (r Request) longest() time.Duration {
	var d time.Duration
	for _, t := range r.Times {
		d = max(d, t)
	}
	return d
}

// time returns how long the nth offence is banned for, counting from 1.
func (r Request) time(n int) time.Duration { return r.Times[min(n, len(r.Times))-1] }

// margin returns by how much more than last the nth offence has to be banned for to
// be worth it. For a policy that is a tenth of the time, so that what comes in while the
// target is banned does not extend the ban again and again.
func (r Request) margin(nth int, last time.Duration) time.Duration {
	if r.Origin == Manual {
		return 0
	}
	return min(r.time(nth)/10, forever-last)
}
