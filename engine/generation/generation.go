// Package generation applies rulesets as numbered generations: on trial under a
// lease that the kernel ends by itself, confirmed, rolled back, and restored at
// boot from the store on disk.
//
// The kernel is the truth about what is in force. A generation whose table has
// a lease is on trial; one without is confirmed; a confirmed one whose table
// has a yield stands aside for a trial. The disk tells only which generation
// was confirmed, for the next boot. Every step is one kernel transaction, so
// that a process may be killed at any instant.
package generation

import (
	"errors"
	"fmt"
	"time"

	"moonlatch/engine/boottime"
	"moonlatch/engine/ruleset"
)

// A Generation is one applied ruleset.
type Generation struct {
	Number   uint64        `json:"generation"`
	Policy   string        `json:"policy"` // the entry file's name
	Path     string        `json:"path"`   // where it was read from
	Digest   string        `json:"digest"` // ruleset.Digest
	Applied  time.Time     `json:"applied"`
	By       string        `json:"by"` // who applied it
	Confirm  time.Duration `json:"confirm"`
	Fallback Fallback      `json:"fallback"`
	Lease    time.Duration `json:"lease,omitempty"` // its liveness lease, 0 for none
	Drift    OnDrift       `json:"drift,omitempty"` // what follows when others change it; empty means ReportDrift

	// Notes say what of the sets that it keeps could not be taken over; they are Apply's.
	Notes []string `json:"-"`

	// Armed is when it came into force on trial, at the latest, or the zero value
	// where that is not known.
	Armed boottime.Instant `json:"-"`
}

// Fallback is what takes the place of a trial that nobody confirmed in time.
type Fallback string

// FallbackPrevious is the generation confirmed last; where there is none, it is
// FallbackOpen.
// FallbackOpen is no generation at all: our tables let everything through.
const (
	FallbackPrevious Fallback = "previous"
	FallbackOpen     Fallback = "open"
)

// ParseFallback reads a policy's or a user's word.
func ParseFallback(s string) (Fallback, error) {
	switch f := Fallback(s); f {
	case FallbackPrevious, FallbackOpen:
		return f, nil
	}
	return "", fmt.Errorf("fallback %q is not known: write \"previous\" or \"open\"%s", s, ruleset.Suggest(s, []string{string(FallbackPrevious), string(FallbackOpen)}))
}

// State is what the kernel holds of ours.
type State struct {
	Confirmed *Generation // without a lease; nil when there is none
	Trial     *Generation // with a lease; nil when there is none
	Left      time.Duration
	Deadline  time.Time // of the trial, not later than the kernel's; zero when there is none
	// Expired is set when the trial's lease is over: it no longer filters, though
	// its table is still there.
	Expired bool
	// Aside is set when the confirmed generation lets everything through for another one.
	Aside bool
	// The liveness leases of the two.
	ConfirmedAlive, TrialAlive Alive
}

// Alive is a generation's liveness lease, as the kernel holds it. The zero Alive is none.
type Alive struct {
	Lease time.Duration // for how long each renewal is
	Left  time.Duration // 0 when it ran out: the generation lets everything through until it is renewed
}

// Over reports whether the lease ran out.
func (a Alive) Over() bool { return a.Lease > 0 && a.Left == 0 }

// Current is the generation whose turn it is to filter, or nil when it is nobody's.
// Whether it does may depend on its liveness lease.
func (s State) Current() *Generation {
	switch {
	case s.Trial != nil && !s.Expired:
		return s.Trial
	case s.Confirmed != nil && !s.Aside:
		return s.Confirmed
	}
	return nil
}

// Alive is the liveness lease of the current generation.
func (s State) Alive() Alive {
	switch s.Current() {
	case nil:
		return Alive{}
	case s.Trial:
		return s.TrialAlive
	}
	return s.ConfirmedAlive
}

// InForce is the generation that filters, or nil when none does.
func (s State) InForce() *Generation {
	if s.Alive().Over() {
		return nil
	}
	return s.Current()
}

// Errors that callers tell apart.
var (
	ErrNoTrial = errors.New("no generation is on trial, so there is nothing to confirm or roll back")
	ErrExpired = errors.New("the trial is over: the kernel ended its lease before it was confirmed, and the fallback is in force")
	ErrEnded   = errors.New("it is no longer on trial: it was rolled back, or another one has taken its place")
	ErrBusy    = errors.New("another moonlatch process is changing the firewall")
	ErrNoStore = errors.New("no generation was ever confirmed here")
	ErrDamaged = errors.New("damaged")
)
