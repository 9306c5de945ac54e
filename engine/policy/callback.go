package policy

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/policy/sandbox"
	"moonlatch/engine/ruleset"
)

// maxFailures is how often in a row a callback may fail before it is switched off.
const maxFailures = 10

// Callback is a Lua function of the policy's that an event, a hit, a timer or
// the watchdog runs. Its methods may be called by any goroutine.
type Callback struct {
	Name string // unique among those of its kind
	Kind string // "handler", "action", "timer" or "check"
	Pos  ruleset.Pos

	fn       *lua.LFunction
	failures int // in a row
	off      atomic.Bool
	stats    callbackCounters
}

// CallbackStats are running totals since Load.
type CallbackStats struct {
	Calls    uint64        // finished calls, failed or not
	Errors   uint64        // of these, ended by an error of the policy
	Timeouts uint64        // of these, stopped because they used up their budget, time or memory
	Took     time.Duration // as far as Took was told
}

type callbackCounters struct {
	calls, errors, timeouts atomic.Uint64
	took                    atomic.Int64 // nanoseconds
}

// Off reports whether the callback was switched off because it kept failing.
func (c *Callback) Off() bool { return c.off.Load() }

// Took adds what a call took. Who calls measures it anyway; to do so here as well would cost as much as a short call.
func (c *Callback) Took(d time.Duration) { c.stats.took.Add(int64(d)) }

// Stats returns the totals so far.
func (c *Callback) Stats() CallbackStats {
	return CallbackStats{
		Calls:    c.stats.calls.Load(),
		Errors:   c.stats.errors.Load(),
		Timeouts: c.stats.timeouts.Load(),
		Took:     time.Duration(c.stats.took.Load()),
	}
}

// CallError says that a callback failed.
type CallError struct {
	Callback  *Callback
	Pos       ruleset.Pos // of the failing statement where it is known, else of the callback
	Reason    string      // "runtime", an error of the policy, or "timeout", stopped at its limits
	Msg       string
	Traceback string // one line per active call, innermost first
	err       error
}

func (e *CallError) Error() string {
	return fmt.Sprintf("%s: %s %s: %s", e.Pos, e.Callback.Kind, e.Callback.Name, e.Msg)
}

// Unwrap returns the sandbox's error.
func (e *CallError) Unwrap() error { return e.err }

// run calls a callback that is not switched off. The error is a *CallError.
func (p *Policy) run(c *Callback, args ...lua.LValue) error {
	if c.off.Load() {
		return nil
	}
	st := p.state.Begin(c.fn)
	for _, a := range args {
		st.Push(a)
	}
	return p.end(c, st)
}

// end makes the call of a callback whose arguments are on the stack.
func (p *Policy) end(c *Callback, st *lua.LState) error {
	p.running = c
	err := p.state.End(st)
	p.running = nil
	c.stats.calls.Add(1)
	if err == nil {
		c.failures = 0
		return nil
	}
	return p.failed(c, err)
}

// failed counts a failure and switches the callback off if it was one too many.
func (p *Policy) failed(c *Callback, err error) error {
	e := c.failure(err)
	if c.failures++; c.failures == maxFailures {
		c.off.Store(true) // which the caller tells of
	}
	return e
}

// failure counts an error that ended a call.
func (c *Callback) failure(err error) *CallError {
	e := newCallError(c, err)
	if e.Reason == "timeout" {
		c.stats.timeouts.Add(1)
	} else {
		c.stats.errors.Add(1)
	}
	return e
}

func newCallError(c *Callback, err error) *CallError {
	e := &CallError{Callback: c, Pos: c.Pos, Reason: "runtime", Msg: err.Error(), err: err}
	var s *sandbox.Error
	if errors.As(err, &s) {
		e.Msg, e.Traceback = s.Msg, s.Traceback
		if s.File != "" {
			e.Pos = ruleset.Pos{File: s.File, Line: s.Line}
		}
	}
	for _, limit := range []error{sandbox.ErrBudget, sandbox.ErrDeadline, sandbox.ErrMemory} {
		if errors.Is(err, limit) {
			e.Reason = "timeout"
		}
	}
	return e
}
