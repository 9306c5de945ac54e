package engine

import (
	"errors"
	"sync"
	"time"

	"moonlatch/engine/control"
	"moonlatch/engine/feed"
	"moonlatch/engine/generation"
	"moonlatch/engine/policy"
)

// Why a liveness lease was not renewed.
const (
	readerHangs = iota // the goroutine that reads packet events
	callerHangs        // the goroutine that runs the policy's callbacks
	checkFails         // the policy's check
	kernelFails        // it refused the renewal
	causes             // how many there are
)

// causeNames are the causes as metrics name them.
var causeNames = [causes]string{"reader", "caller", "check", "kernel"}

// failure is why a lease was not renewed.
type failure struct {
	cause int
	err   error
}

// liveness is what the daemon knows of the liveness leases that it renews. It is
// safe for concurrent use.
type liveness struct {
	wake chan struct{} // holds a token when the daemon shall look at once
	teller

	mu       sync.Mutex
	lease    time.Duration // the shortest; 0 where no generation has one
	deadline time.Time     // when it runs out, or ran out
	open     bool          // it ran out: the current generation lets everything through
	number   uint64        // of the current generation
	looked   time.Time     // when the daemon looked last whether all is well
	failure  *failure      // what it found; nil when all was well
	since    time.Time     // of the failure

	renewals, openings uint64
	failures           [causes]uint64
}

func newLiveness(t teller) *liveness {
	return &liveness{wake: make(chan struct{}, 1), teller: t}
}

// lookNow has the daemon look at once, as a lease or a check may be another one.
func (l *liveness) lookNow() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// known is the shortest lease known, 0 where there is none.
func (l *liveness) known() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lease
}

// stands notes how the leases stand in the kernel; lease is the shortest, 0 where
// there is none.
func (l *liveness) stands(s generation.State, lease time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lease = lease
	if g := s.Current(); g != nil {
		l.number = g.Number
	}
	now, alive := time.Now(), s.Alive()
	switch {
	case lease == 0:
		l.deadline, l.open, l.failure, l.looked = time.Time{}, false, nil, time.Time{}
	case alive.Over() && !l.open:
		l.open = true
		l.openings++
		if l.deadline.IsZero() || l.deadline.After(now) {
			l.deadline = now // as far as is known
		}
		l.tellLease(feed.Lease{State: feed.LeaseOpen, Seconds: lease.Seconds(), Why: l.why()})
	case !alive.Over():
		l.open = false
		l.deadline = now.Add(shortest(alive.Left, s.ConfirmedAlive.Left))
	}
}

// tellLease tells of the current generation's lease. The caller holds l.mu.
func (l *liveness) tellLease(told feed.Lease) {
	told.Generation = l.number
	l.tell(feed.Item{Kind: feed.KindLease, Lease: &told})
}

func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// why says why the lease was not renewed. The caller holds l.mu.
func (l *liveness) why() string {
	if l.failure == nil {
		return "the daemon was dead, stopped or too busy"
	}
	return l.failure.err.Error()
}

// renewed notes that all was well and the leases have their full time again.
func (l *liveness) renewed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	switch {
	case l.open:
		l.tellLease(feed.Lease{State: feed.LeaseFilters, Seconds: seconds(now.Sub(l.deadline))})
	case l.failure != nil:
		l.tellLease(feed.Lease{State: feed.LeaseRenewed})
	}
	l.renewals++
	l.looked, l.failure, l.open, l.deadline = now, nil, false, now.Add(l.lease)
}

// failed notes what was not well, and returns the lease and when it runs out.
func (l *liveness) failed(f *failure) (lease time.Duration, runsOut time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.failure == nil || l.failure.cause != f.cause {
		l.since = now
		told := feed.Lease{State: feed.LeaseFailing, Seconds: seconds(max(0, l.deadline.Sub(now))), Why: f.err.Error()}
		var raised *policy.CallError
		if errors.As(f.err, &raised) {
			told.Traceback = raised.Traceback
		}
		l.tellLease(told)
	}
	l.failures[f.cause]++
	l.looked, l.failure = now, f
	return l.lease, l.deadline
}

// Liveness is the liveness lease of the generation in force, for metrics.
type Liveness struct {
	Lease    time.Duration // 0 when it has none
	Deadline time.Time     // when the lease runs out, or ran out; zero without one
	Open     bool          // it ran out: everything passes
	Failing  bool          // it was not renewed at the last look
	Renewals uint64
	Openings uint64            // times that it ran out
	Failures map[string]uint64 // looks that renewed nothing, by cause
}

func (l *liveness) snapshot() Liveness {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := Liveness{
		Lease: l.lease, Deadline: l.deadline, Open: l.open, Failing: l.failure != nil,
		Renewals: l.renewals, Openings: l.openings, Failures: map[string]uint64{},
	}
	for cause, name := range causeNames {
		out.Failures[name] = l.failures[cause]
	}
	return out
}

// status is what the control API tells of the lease, nil without one.
func (l *liveness) status() *control.Liveness {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lease == 0 {
		return nil
	}
	out := &control.Liveness{Lease: l.lease.Seconds(), Left: max(0, time.Until(l.deadline)).Seconds(), Looked: l.looked}
	if l.failure != nil {
		out.Failing, out.FailingSince = l.failure.err.Error(), l.since
	}
	if l.open {
		out.Left, out.OpenSince = 0, l.deadline
	}
	return out
}
