// Package guard holds a timed reset of rules that are not Moonlatch's. A watchdog
// process of its own does what was ordered when the time has come, whatever has
// become of the process that ordered it. What is to be done is the caller's.
package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"moonlatch/engine/boottime"
)

var (
	// ErrArmed is returned when a watchdog has an order already.
	ErrArmed = errors.New("is armed already")
	// ErrNone is returned when there is no order.
	ErrNone = errors.New("is not armed")
	// ErrLate is returned for an order whose time has come.
	ErrLate = errors.New("its time is over")
)

// Order is what a watchdog was armed with.
type Order struct {
	What   string           `json:"what"`             // in words: the command on guard, or the ruleset of a safety net
	By     string           `json:"by,omitempty"`     // who armed it
	Start  boottime.Instant `json:"start"`            //
	Time   time.Duration    `json:"time"`             // until it acts, and between that and the next time
	Repeat bool             `json:"repeat,omitempty"` // acts again and again, until it is ended
	Netns  uint64           `json:"netns"`            // the inode number of the network namespace whose rules it is about
}

// Next returns the next instant to act: after now if the order repeats.
func (o Order) Next(now boottime.Instant) boottime.Instant {
	first := o.Start.In(o.Time)
	passed, ok := now.Sub(first)
	if !o.Repeat || !ok || passed < 0 {
		return first
	}
	return first.In((passed/o.Time + 1) * o.Time)
}

// Left returns how long it is until the order's next instant. It is negative
// for one that is over.
func (o Order) Left() (time.Duration, error) {
	now, err := boottime.Now()
	if err != nil {
		return 0, err
	}
	left, ok := o.Next(now).Sub(now)
	if !ok {
		return 0, fmt.Errorf("%q was armed before the last reboot", o.What)
	}
	return left, nil
}

// longest bounds an order's time, far above what anybody wants and far below
// what a time.Duration holds.
const longest = 1000 * 24 * time.Hour

// parseOrder reads an order as it is on disk.
func parseOrder(b []byte) (Order, error) {
	var o Order
	if err := json.Unmarshal(b, &o); err != nil {
		return Order{}, err
	}
	if o.Time <= 0 || o.Time > longest {
		return Order{}, fmt.Errorf("%d is no time for an order", o.Time)
	}
	if o.Start.Boot == "" || o.Start.Since < 0 || o.Start.Since > 100*longest {
		return Order{}, fmt.Errorf("it begins at no instant: %v", o.Start)
	}
	return o, nil
}

// Outcome is how an order ended, or what it last did.
type Outcome string

const (
	Done     Outcome = "done"     // what was ordered is done
	Ended    Outcome = "ended"    // it was called off in time
	Failing  Outcome = "failing"  // it is being done, has failed, and will be tried again
	Rebooted Outcome = "rebooted" // the machine was started anew before its time came
)

// Result is how an order ended.
type Result struct {
	Order
	Outcome Outcome   `json:"outcome"`
	At      time.Time `json:"at"`
	Did     string    `json:"did,omitempty"` // what was done, in words
	Tries   int       `json:"tries,omitempty"`
	Error   string    `json:"error,omitempty"` // of the last try that failed
}

// Watch is one watchdog's folder in a state directory. It holds at most one
// order. Its methods may be called by any process at any time.
//
//	pending/            the order, complete from the instant that it is there
//	pending/order.json
//	pending/armed       becomes "ended" or "due" by one rename: so exactly one of
//	                    a confirm and the deadline happens
//	pending/payload/    whatever the caller needs to do it
//	lock                held by the watchdog process, whose pid it holds; only it
//	                    does or clears away what was ordered
//	standby             held by the process that takes over when that one dies
//	last.json           the Result
//	log
type Watch struct{ dir string }

// At returns the watch of a name in a state directory.
func At(state, name string) *Watch { return &Watch{filepath.Join(state, name)} }

// What is in a Watch's folder.
const (
	pending = "pending"
	payload = "payload"
	armed   = "armed"
	ended   = "ended"
	due     = "due"
)

func (w *Watch) path(name string) string { return filepath.Join(w.dir, name) }

// netns identifies this process's network namespace.
func netns() (uint64, error) {
	info, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return 0, fmt.Errorf("which network namespace this is: %w", err)
	}
	return inode(info), nil
}
