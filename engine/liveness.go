package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"moonlatch/engine/generation"
	"moonlatch/engine/policy"
)

// idleLook is how often the daemon looks for a liveness lease where there was
// none. A policy that brings one has it look at once.
const idleLook = 10 * time.Second

// checkGrace is how long a check that used up its time has to say at what.
const checkGrace = 200 * time.Millisecond

// live renews the liveness leases of the generations in the kernel as long as
// all is well: the goroutines that read packets and run callbacks get round, and
// the policy's check passes. If not, or if the daemon is dead or stopped, the
// kernel lets everything through, until the next renewal.
func (d *Daemon) live(ctx context.Context) error {
	for {
		timer := time.NewTimer(d.look(ctx))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-d.liveness.wake:
			timer.Stop()
		}
	}
}

// look renews the leases if all is well, and returns in how long to look again:
// a third of the shortest lease after this look began, or when a lease that was
// not renewed runs out.
func (d *Daemon) look(ctx context.Context) time.Duration {
	began := time.Now()
	lease, current, err := d.readLease()
	switch {
	case err != nil && lease == 0:
		return syncEvery
	case lease == 0:
		return idleLook
	case err == nil && !d.canTell(current):
		return syncEvery // or at once, when a policy begins to run
	}
	third := (lease / 3).Round(time.Millisecond)
	if f := d.unwell(ctx, third); f != nil {
		return d.notRenewed(ctx, began, f)
	}
	if err := d.generations.Renew(ctx); err != nil {
		return d.notRenewed(ctx, began, &failure{kernelFails, err})
	}
	d.liveness.renewed()
	return time.Until(began.Add(third))
}

// readLease returns the shortest lease, 0 where there is none, and the generation
// in force. Where the kernel cannot be read, since it is being changed all the time,
// the lease is the one known from before: renewing may work all the same.
func (d *Daemon) readLease() (time.Duration, *generation.Generation, error) {
	s, err := d.generations.State()
	if err != nil {
		return d.liveness.known(), nil, err
	}
	lease := shortest(s.ConfirmedAlive.Lease, s.TrialAlive.Lease)
	d.liveness.stands(s, lease)
	return lease, s.Current(), nil
}

// canTell tells whether there is a generation in force whose check may pass. A change
// is made before it is in force, and is in force a moment before its policy runs here:
// then nobody can say that all is well, and a new lease is full anyway.
func (d *Daemon) canTell(g *generation.Generation) bool {
	return g != nil && (d.running.Load() != nil || d.broken.Load() != nil)
}

// shortest is the shorter of two leases, of which 0 is none.
func shortest(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

func (d *Daemon) notRenewed(ctx context.Context, began time.Time, f *failure) time.Duration {
	if ctx.Err() != nil {
		return 0 // the daemon ends, and that is why
	}
	lease, runsOut := d.liveness.failed(f)
	next := began.Add(lease / 3)
	if runsOut = runsOut.Add(settleAfter); runsOut.After(began) && runsOut.Before(next) {
		next = runsOut // to say so
	}
	return max(settleAfter, time.Until(next))
}

// unwell finds out whether all is well, and returns what is not.
func (d *Daemon) unwell(ctx context.Context, within time.Duration) *failure {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("it took longer than %s, a third of the lease", within))
	defer cancel()
	var found [checkFails + 1]*failure
	var all sync.WaitGroup
	all.Go(func() {
		if !d.reader.pulse.feel(ctx, d.reader.nflog.Wake) {
			found[readerHangs] = &failure{readerHangs, fmt.Errorf("the goroutine that reads packet events has hung for %s", within)}
		}
	})
	all.Go(func() {
		if !d.caller.pulse.feel(ctx, d.queue.wake) {
			found[callerHangs] = &failure{callerHangs, fmt.Errorf("the goroutine that runs the policy's callbacks has hung for %s", within)}
		}
	})
	all.Go(func() {
		if err := d.runCheck(ctx); err != nil {
			found[checkFails] = &failure{checkFails, fmt.Errorf("the policy's check failed: %w", err)}
		}
	})
	all.Wait()
	for _, f := range found {
		if f != nil {
			return f
		}
	}
	return nil
}

// runCheck runs the check of the policy in force, on trial or not; nil means that
// it passed, or that the policy has none. It returns when ctx ends, whatever the
// check waits for.
func (d *Daemon) runCheck(ctx context.Context) error {
	select {
	case d.checking <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("the one before it has not ended: %w", context.Cause(ctx))
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-d.checking }()
		done <- d.check(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(checkGrace):
		return fmt.Errorf("it did not get its turn among the policy's callbacks: %w", context.Cause(ctx))
	}
}

func (d *Daemon) check(ctx context.Context) error {
	for {
		rt := d.running.Load()
		if rt == nil {
			if g := d.broken.Load(); g != nil {
				return fmt.Errorf("the policy of generation %d does not run", g.Number)
			}
			return nil
		}
		err := rt.policy.Check(ctx)
		if errors.Is(err, policy.ErrClosed) && d.running.Load() != rt {
			continue
		}
		return err
	}
}
