package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"moonlatch/engine/blocklist"
	"moonlatch/engine/control"
	"moonlatch/engine/feed"
	"moonlatch/engine/generation"
	"moonlatch/engine/memory"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
	"moonlatch/engine/spool"
	"moonlatch/nflog"
)

// syncEvery is how often the daemon compares itself with the kernel, where
// another process may have confirmed, rolled back or reset meanwhile.
const syncEvery = time.Second

// settleAfter is how long after a trial's deadline the daemon looks whether the
// kernel has ended it: more than a timer tick, less than anybody notices.
const settleAfter = 20 * time.Millisecond

// Task is a long-running part of the daemon. Run returns nil when ctx ends.
type Task interface {
	Run(ctx context.Context) error
	String() string
}

// Output is a Task that takes what happens elsewhere.
type Output interface {
	Task
	Stats() []feed.OutputStats
}

// AddOutput adds an output that Run runs. To be called before Run.
func (d *Daemon) AddOutput(o Output) { d.outputs = append(d.outputs, o) }

// Daemon is a Firewall that also runs its policy.
type Daemon struct {
	*Firewall
	log    *slog.Logger
	spool  *spool.Spool
	socket net.Listener
	lock   *os.File
	reader *reader
	caller *caller
	queue  *queue

	feedKeeper *blocklist.Keeper
	since      time.Time
	running    atomic.Pointer[runtime]               // what the reader acts by; nil when nothing filters
	broken     atomic.Pointer[generation.Generation] // in force, but its policy does not run
	links      links
	memory     *memory.Keeper

	protector *protector
	liveness  *liveness
	checking  chan struct{} // holds a token while a check of the policy's runs

	mu       sync.Mutex // held while generations change
	previous *runtime   // of the confirmed generation, while another is on trial

	trial    atomic.Uint64             // the generation on trial as far as the bans know, or 0; changes under mu
	deadline atomic.Pointer[time.Time] // of that trial; nil without one
	ended    atomic.Uint64             // the generation whose trial's end has been told
	counters counters
	outputs  []Output
	targets  []string // of notifications
	drift    driftWatch
}

// counters are the daemon's own, beside those of its parts.
type counters struct {
	rollbacks  [3]atomic.Uint64 // by rollbackReason
	reloadOK   atomic.Bool
	reloadedAt atomic.Int64 // Unix nanoseconds of the last successful reload
}

// Start makes a Daemon and takes what only one can have: the state directory,
// the control socket and the NFLOG group. Nothing runs before Run.
func Start(ctx context.Context, cfg Config, socket string) (*Daemon, error) {
	lock, err := lockDaemon(cfg.State)
	if err != nil {
		return nil, err
	}
	d := &Daemon{log: cfg.Log, spool: cfg.Spool, lock: lock, since: time.Now(), queue: newQueue()}
	if d.Firewall, err = Open(ctx, cfg); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if d.memory, err = memory.OpenKeeper(filepath.Join(cfg.State, "remembered.json"), cfg.Log); err != nil {
		return nil, explain(errors.Join(err, lock.Close()))
	}
	r, err := nflog.Open(nflog.Config{Group: ruleset.Group, CopyRange: ruleset.MaxSnaplen})
	if errors.Is(err, nflog.ErrGroupBusy) {
		err = fmt.Errorf("another moonlatch daemon of this network, or another program, reads them: %w", err)
	}
	if err != nil {
		return nil, explain(errors.Join(fmt.Errorf("packet events: %w", err), lock.Close()))
	}
	if d.socket, err = control.Listen(socket); err != nil {
		return nil, explain(errors.Join(err, r.Close(), lock.Close()))
	}
	d.reader = &reader{nflog: r, running: &d.running, bans: d.bans, queue: d.queue, links: &d.links, teller: d.teller, pulse: newPulse()}
	d.caller = newCaller(d.queue, d.failed, d.observe)
	d.place = d.Place
	d.history.cfg.Daemon, d.history.running = true, d.runningPolicy
	d.feedKeeper = blocklist.NewKeeper(blocklist.Config{Store: d.Firewall.feeds, Log: cfg.Log, Protects: d.bans.Protects, Swap: d.swapFeed, Refused: d.refusedFeed})
	d.protector = newProtector(d.bans, cfg.Log, d.namesKept)
	d.liveness, d.checking = newLiveness(d.teller), make(chan struct{}, 1)
	d.counters.reloadOK.Store(true)
	d.links.refresh()
	return d, nil
}

// lockDaemon makes sure that the state directory has one daemon. The kernel
// lets go of the lock when the process dies, however it dies.
func lockDaemon(state string) (*os.File, error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, explain(fmt.Errorf("state directory: %w", err))
	}
	path := filepath.Join(state, "daemon.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, explain(fmt.Errorf("state directory: %w", err))
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid, _ := os.ReadFile(path)
		f.Close()
		return nil, &control.Error{Code: control.Failed, Message: fmt.Sprintf(
			"a moonlatch daemon (pid %s) is running already on %s: stop it first, or reload it with SIGHUP", pid, state)}
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprint(os.Getpid()))); err != nil {
		f.Close()
		return nil, explain(fmt.Errorf("state directory: %w", err))
	}
	return f, nil
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// environment is what a policy that the daemon runs may know and do.
func (d *Daemon) environment(m *memory.Memory) policy.Env {
	env := environment(d.log, actions{d.bans}, d.links.name)
	env.Memory, env.Notify = m, d.notify
	return env
}

// Run runs the daemon, and the given tasks beside it, until ctx ends or one
// part fails. It leaves the kernel as it is: rules, trials and bans stay.
func (d *Daemon) Run(ctx context.Context, more ...Task) error {
	defer d.lock.Close()
	defer d.history.close()
	group, ctx := errgroup.WithContext(ctx)
	start := func(run func(context.Context) error) {
		group.Go(func() error {
			defer d.spool.Crash()
			return run(ctx)
		})
	}
	start(d.caller.run)
	if err := d.adopt(ctx); err != nil {
		d.log.Error("the firewall could not be taken over", "error", err)
	}
	for _, run := range []func(context.Context) error{
		d.bans.Run, d.memory.Run, d.persist, d.watchHistory, d.reader.run, d.follow, d.watch, d.live,
		d.feedKeeper.Run, d.protector.run, d.protector.names.run, d.cutter.run,
		func(ctx context.Context) error { return control.Serve(ctx, d.socket, d, d.log) },
	} {
		start(run)
	}
	for _, o := range d.outputs {
		more = append(more, o)
	}
	for _, t := range more {
		start(func(ctx context.Context) error {
			if err := t.Run(ctx); err != nil {
				return fmt.Errorf("%s: %w", t, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// adopt puts the confirmed generation in force if the kernel holds none, and
// runs the policy of whatever is in force.
func (d *Daemon) adopt(ctx context.Context) error {
	r, err := d.restore(ctx)
	if errors.Is(err, generation.ErrNoStore) {
		d.log.Info("no generation was confirmed yet: everything passes until a policy is applied")
		err = nil
	}
	if r.Generation != nil {
		d.log.Info("generation in force", "generation", r.Generation.Number, "policy", r.Generation.Policy)
	}
	return errors.Join(err, d.sync(ctx))
}

// follow keeps the daemon in step with the kernel.
func (d *Daemon) follow(ctx context.Context) error {
	for {
		timer := time.NewTimer(d.untilSync())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		d.links.refresh()
		if err := d.sync(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("cannot keep in step with the kernel", "error", err)
		}
	}
}

// untilSync is shorter than syncEvery when a trial's deadline comes first.
func (d *Daemon) untilSync() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.trial.Load() == 0 {
		return syncEvery
	}
	return max(settleAfter, min(syncEvery, time.Until(*d.deadline.Load())+settleAfter))
}
