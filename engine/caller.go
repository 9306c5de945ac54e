package engine

import (
	"context"
	"errors"
	"time"

	"moonlatch/engine/policy"
)

// caller runs the Lua of the policies, all of it on one goroutine: callbacks
// from the queue, and timers.
type caller struct {
	queue   *queue
	started chan *runtime // a runtime whose timers run from now on; nil stops them
	ended   chan *runtime // a runtime that is not needed any more
	asked   chan func()   // what a console has run between two callbacks
	stopped chan struct{} // closed when run has returned: nobody takes anything any more
	failed  func(error)   // is told how a callback failed
	observe Observer
	pulse   *pulse

	current *runtime
	due     []time.Time // of each of the current policy's timers; zero when it is done
}

func newCaller(q *queue, failed func(error), o Observer) *caller {
	return &caller{
		queue: q, started: make(chan *runtime), ended: make(chan *runtime), asked: make(chan func()), stopped: make(chan struct{}),
		failed: failed, observe: o, pulse: newPulse(),
	}
}

func (c *caller) String() string { return "policy caller" }

func (c *caller) run(ctx context.Context) error {
	defer close(c.stopped)
	var next callback
	for {
		c.pulse.beat()
		timer := time.NewTimer(c.untilDue(time.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-c.queue.ready:
			c.drain(ctx, &next)
		case rt := <-c.started:
			c.start(rt, time.Now())
		case rt := <-c.ended:
			rt.policy.Close()
		case run := <-c.asked:
			run()
		case <-timer.C:
			c.tick(time.Now())
		}
		timer.Stop()
	}
}

// switchTo makes rt the policy whose callbacks are run, or none where it is
// nil. It waits until the caller has finished the callback at hand.
func (c *caller) switchTo(rt *runtime) { c.send(c.started, rt) }

// end closes a policy that runs no more.
func (c *caller) end(rt *runtime) {
	if rt != nil {
		c.send(c.ended, rt)
	}
}

// do runs something on the current runtime, or nil, between two callbacks.
func (c *caller) do(ctx context.Context, run func(*runtime)) error {
	done := make(chan struct{})
	select {
	case c.asked <- func() { defer close(done); run(c.current) }:
		<-done
		return nil
	case <-c.stopped:
		return errors.New("the daemon is about to end")
	case <-ctx.Done():
		return errors.New("the policy's callbacks are busy, and have not let the console have its turn: try again")
	}
}

func (c *caller) send(to chan<- *runtime, rt *runtime) {
	select {
	case to <- rt:
	case <-c.stopped:
	}
}

func (c *caller) start(rt *runtime, now time.Time) {
	c.current, c.due = rt, nil
	if rt == nil {
		return
	}
	for _, t := range rt.policy.Timers() {
		c.due = append(c.due, now.Add(t.Every+t.After)) // one of the two is 0
	}
}

// drain runs what waits in the queue, but looks up every so often, so that a
// flood of events starves neither timers nor a change of policy.
func (c *caller) drain(ctx context.Context, next *callback) {
	for range queueLimit {
		if ctx.Err() != nil || !c.queue.take(next) {
			return
		}
		if next.runtime != c.current {
			continue // its policy has been replaced
		}
		if h := next.handler; h != nil {
			c.call(h.Callback, func(p *policy.Policy) error { return p.Handle(h, next.rule, &next.packet) })
		} else {
			c.call(next.detector.Action, func(p *policy.Policy) error { return p.Hit(next.detector, next.hit) })
		}
	}
	c.queue.wake()
}

// call runs one callback of the current policy. Errors are the policy's to
// count and to log; here they only must not stop anything.
func (c *caller) call(cb *policy.Callback, fn func(*policy.Policy) error) {
	start := time.Now()
	if err := fn(c.current.policy); err != nil {
		c.failed(err)
	}
	took := time.Since(start)
	cb.Took(took)
	c.observe.CallbackTook(c.current.policy.Ruleset().Policy, took)
	c.pulse.beat() // a flood of events, or a slow handler, is no death
}

// untilDue is the time until the next timer is due, or long when there is none.
func (c *caller) untilDue(now time.Time) time.Duration {
	wait := time.Hour
	for _, due := range c.due {
		if !due.IsZero() {
			wait = min(wait, due.Sub(now))
		}
	}
	return wait
}

// tick runs the timers that are due. One that is late is not run twice.
func (c *caller) tick(now time.Time) {
	for i, due := range c.due {
		if due.IsZero() || due.After(now) {
			continue
		}
		t := c.current.policy.Timers()[i]
		c.due[i] = time.Time{}
		if t.Every > 0 {
			c.due[i] = now.Add(t.Every)
		}
		c.call(t.Callback, func(p *policy.Policy) error { return p.Tick(t) })
	}
}
