package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/lab"
	"moonlatch/engine/memory"
	"moonlatch/engine/nft"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
	"moonlatch/nflog"
)

// Rehearsal is a policy in force in a lab: its rules, detectors, handlers and
// timers, and the ban book, without a daemon. What a packet leads to has happened when
// its Send returns, and time passes only by Advance. It belongs to the lab's goroutine.
type Rehearsal struct {
	*lab.Lab
	policy *policy.Policy
	bans   *ban.Book
	reader *reader
	caller *caller
	next   callback      // the one at hand
	ahead  time.Duration // of the time of day
	events map[string]int
	failed []error
	told   []policy.Notice // the latest
	table  nft.Table
	played played
	feeds  map[string]error // those that are empty, and why
}

// Origin says where a policy comes from.
type Origin struct {
	Folder fs.FS
	Entry  string // the file in it
	Path   string // of that file on this host; "" for none
	State  string // the state directory, where the copies of feeds are; "" for none
}

// setting is how a rehearsal differs from one of a policy's file, in the machine's time.
type setting struct {
	stored *tables // what stands for the policy, instead of what it generates here and now
	played
}

// played is what makes a rehearsal one of the past.
type played struct {
	at      time.Time // the time of day, which then only moves when it is set; zero for the machine's
	stamp   time.Time // of the packet at hand
	booked  func(ban.Ban)
	witness witness
}

// Rehearse puts a policy in force in a lab. The caller closes the Rehearsal.
func Rehearse(ctx context.Context, l *lab.Lab, o Origin, log *slog.Logger) (*Rehearsal, error) {
	return rehearse(ctx, l, o, setting{}, log)
}

// tables is a generation as it is stored.
type tables struct {
	number uint64
	text   string
	fills  []ruleset.Fill
}

// rehearse is Rehearse in a setting.
func rehearse(ctx context.Context, l *lab.Lab, o Origin, in setting, log *slog.Logger) (*Rehearsal, error) {
	r := &Rehearsal{Lab: l, events: map[string]int{}, played: in.played}
	var err error
	if r.bans, err = ban.Open(ctx, ban.Config{NFT: l.NFT, Now: r.now, Played: !r.played.at.IsZero(), Booked: in.booked}); err != nil {
		return nil, explain(err)
	}
	env := environment(log, rehearsed{actions{r.bans}, in.witness.refused}, l.LinkName)
	env.Memory, env.Now, env.Notify = memory.New(r.now), r.now, r.keep
	if r.policy, err = policy.Load(o.Folder, o.Entry, inFolder(env, o.Path)); err != nil {
		r.bans.Close()
		return nil, badPolicy(err)
	}
	r.feeds = fillWithCopies(r.policy, o.State)
	if err := r.start(ctx, in.stored, log); err != nil {
		r.Close()
		return nil, explain(err)
	}
	return r, nil
}

func (r *Rehearsal) start(ctx context.Context, in *tables, log *slog.Logger) error {
	rules := r.policy.Ruleset()
	script := &ruleset.Script{}
	if in == nil {
		script = rules.Render(ruleset.Options{Generation: 1})
		in = &tables{1, script.String(), rules.Fills()}
	} else {
		in.fills = withFeeds(in.fills, rules)
	}
	r.table = nft.Table{Family: nft.Inet, Name: ruleset.Table(in.number)}
	if err := r.Load(ctx, in.text, devices(rules), in.fills, r.table.Name); err != nil {
		return answerOf(err).blame(script)
	}
	var own []netip.Prefix
	for _, a := range r.Addresses() {
		own = append(own, host(a))
	}
	for owner, list := range map[string][]netip.Prefix{protectPolicy: r.policy.Protected(), protectHost: own} {
		if err := r.bans.Protect(ctx, owner, list); err != nil {
			return err
		}
	}
	if err := heed(r.bans, r.policy); err != nil {
		return err
	}
	rt, err := newRuntime(in.number, r.policy)
	if err != nil {
		return err
	}
	queue := newQueue()
	r.reader = &reader{running: &atomic.Pointer[runtime]{}, bans: r.bans, queue: queue, teller: teller{log: log}, pulse: newPulse(), witness: r.played.witness}
	r.reader.running.Store(rt)
	r.caller = newCaller(queue, func(err error) { r.failed = append(r.failed, err) }, unobserved{})
	r.caller.start(rt, r.now())
	r.Observe = r.observe
	return nil
}

// Close frees what the rehearsal holds, but not the lab.
func (r *Rehearsal) Close() error {
	r.Observe = nil
	r.policy.Close()
	return r.bans.Close()
}

// Policy is the policy that is rehearsed.
func (r *Rehearsal) Policy() *policy.Policy { return r.policy }

// now is the time of the rehearsal.
func (r *Rehearsal) now() time.Time {
	if !r.played.at.IsZero() {
		return r.played.at
	}
	return time.Now().Add(r.ahead)
}

// observe takes a logged packet through detectors, and queues what follows from it.
func (r *Rehearsal) observe(ev *nflog.Event) {
	if to := r.reader.running.Load().routes[string(ev.Prefix)]; to != nil && to.Stream != nil {
		r.events[to.Stream.Name]++
	}
	switch {
	case !r.played.at.IsZero():
		ev.Time = r.played.stamp
	case ev.Time.IsZero():
		ev.Time = time.Now().Add(r.ahead)
	default:
		ev.Time = ev.Time.Add(r.ahead)
	}
	r.reader.event(ev)
}

// settle carries out what was queued: bans, and calls of the policy's Lua.
func (r *Rehearsal) settle(ctx context.Context) {
	r.bans.Flush(ctx)
	r.caller.drain(ctx, &r.next)
}

// Send sends a packet; its consequences have happened when it returns.
func (r *Rehearsal) Send(ctx context.Context, p lab.Packet) (*lab.Result, error) {
	result, err := r.Lab.Send(ctx, p)
	r.settle(ctx)
	return result, err
}

// Connect is lab.Lab.Connect; its consequences have happened when it returns.
func (r *Rehearsal) Connect(ctx context.Context, p lab.Packet) (*lab.Result, error) {
	result, err := r.Lab.Connect(ctx, p)
	r.settle(ctx)
	return result, err
}

// Events is how many packets came in on a stream.
func (r *Rehearsal) Events(stream string) int { return r.events[stream] }

// Failures returns the errors of the policy's Lua since it was asked last.
func (r *Rehearsal) Failures() []error {
	failed := r.failed
	r.failed = nil
	return failed
}

// maxTold is how many notices a rehearsal keeps.
const maxTold = 1000

// keep keeps a notice, whoever is to be told: a rehearsal knows no targets.
func (r *Rehearsal) keep(n policy.Notice) error {
	if len(r.told) == maxTold {
		r.told = r.told[1:]
	}
	r.told = append(r.told, n)
	return nil
}

// Notices returns what the policy told with fw.notify, as far as it is kept: the latest 1000.
func (r *Rehearsal) Notices() []policy.Notice { return r.told }

// Banned returns the ban that is in force for an address.
func (r *Rehearsal) Banned(ctx context.Context, a netip.Addr) (ban.Ban, bool, error) {
	return r.bans.Lookup(ctx, a)
}

// Advance lets time pass: timers run when they are due, bans and the elements of
// sets end, and detectors forget. Limits are the kernel's and keep to its time.
func (r *Rehearsal) Advance(ctx context.Context, d time.Duration) error {
	for d > 0 {
		step := min(d, max(r.caller.untilDue(r.now()), 0))
		if err := r.age(ctx, step); err != nil {
			return err
		}
		r.ahead += step
		d -= step
		r.caller.tick(r.now())
		r.settle(ctx)
	}
	return nil
}

// age lets time pass for the kernel's sets.
func (r *Rehearsal) age(ctx context.Context, d time.Duration) error {
	table, sets := ban.Sets()
	if err := r.Age(ctx, d, table, sets...); err != nil {
		return fmt.Errorf("advance: %w", err)
	}
	return r.ageSets(ctx, d)
}

// ageSets lets time pass for the sets of the policy.
func (r *Rehearsal) ageSets(ctx context.Context, d time.Duration) error {
	if err := r.Age(ctx, d, r.table, r.policy.Ruleset().Expiring()...); err != nil {
		return fmt.Errorf("advance: %w", err)
	}
	return nil
}

// rehearsed are the actions of a policy's Lua, with an ear for those that are refused.
type rehearsed struct {
	actions
	refused func(ban.Request)
}

func (a rehearsed) Ban(b policy.Ban) error {
	err := a.actions.Ban(b)
	if a.refused != nil && errors.Is(err, ban.ErrProtected) {
		a.refused(request(b))
	}
	return err
}
