package blocklist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"moonlatch/engine/ruleset"
)

// Config says what a Keeper works with. The functions are called by the goroutine of Run.
type Config struct {
	Store *Store
	Log   *slog.Logger
	// Protects reports whether a prefix holds protected addresses.
	Protects func(netip.Prefix) bool
	// Swap puts a list in the place of what the kernel holds of it.
	Swap func(ctx context.Context, name string, l List) error
	// Refused hears of each list that came and is not taken. May be nil, which logs it.
	Refused func(name string, why error)
}

// A Keeper fetches lists when their time has come. Keep may be called by any goroutine.
type Keeper struct {
	cfg   Config
	wake  chan struct{}
	mu    sync.Mutex
	specs map[string]Spec
	fill  map[string]bool // whose copy is to be put into the kernel
	force bool            // all are to be fetched now
	told  []chan struct{} // closed when that is done
}

// NewKeeper returns a Keeper of no lists.
func NewKeeper(cfg Config) *Keeper {
	return &Keeper{cfg: cfg, wake: make(chan struct{}, 1), specs: map[string]Spec{}, fill: map[string]bool{}}
}

// Keep makes these the lists to keep. The kernel's sets of them are filled with the copies at hand soon.
func (k *Keeper) Keep(specs []Spec) {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.specs)
	clear(k.fill)
	for _, s := range specs {
		k.specs[s.Name], k.fill[s.Name] = s, true
	}
	k.poke()
}

// Refill fills the kernel's sets once more, because somebody else may have changed them.
func (k *Keeper) Refill() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name := range k.specs {
		k.fill[name] = true
	}
	k.poke()
}

// Refresh fetches every list now and returns when that is done, or ctx ends.
func (k *Keeper) Refresh(ctx context.Context) error {
	done := make(chan struct{})
	k.mu.Lock()
	k.force, k.told = true, append(k.told, done)
	k.poke()
	k.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// States tells of the lists that are kept, in the order of their names.
func (k *Keeper) States() []State {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []State
	for _, name := range slices.Sorted(maps.Keys(k.specs)) {
		st := k.cfg.Store.State(name)
		st.Source = k.specs[name].source()
		out = append(out, st)
	}
	return out
}

func (k *Keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run keeps the lists until ctx ends, then returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		timer := time.NewTimer(k.untilDue(time.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-k.wake:
		case <-timer.C:
		}
		timer.Stop()
		for _, s := range k.take() {
			k.refill(ctx, s)
		}
		due, told := k.due(time.Now())
		for _, s := range due {
			k.update(ctx, s)
		}
		for _, done := range told {
			close(done)
		}
	}
}

// take returns the lists whose copies are to be put into the kernel.
func (k *Keeper) take() []Spec {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []Spec
	for name := range k.fill {
		out = append(out, k.specs[name])
	}
	clear(k.fill)
	return out
}

func (k *Keeper) refill(ctx context.Context, s Spec) {
	l, err := k.cfg.Store.Load(s)
	if err == nil {
		if err = k.spares(l); err != nil {
			l = List{Addrs: &ruleset.Addresses{}} // rather none than one that keeps friends out
		}
		err = errors.Join(err, k.cfg.Swap(ctx, s.Name, l))
	}
	if err != nil && ctx.Err() == nil {
		k.cfg.Log.Error("the copy of a feed is not in the kernel", "feed", s.Name, "error", err)
	}
}

// longest is how long Run sleeps at most.
const longest = time.Hour

func (k *Keeper) untilDue(now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	wait := longest
	for _, s := range k.specs {
		wait = min(wait, max(k.dueAt(s, now).Sub(now), 0))
	}
	return wait
}

// dueAt is when a list is to be fetched: at once where it never was, or was another one. A clock that was set back delays nothing.
func (k *Keeper) dueAt(s Spec, now time.Time) time.Time {
	st := k.cfg.Store.State(s.Name)
	if st.Source != s.source() || st.Next.Sub(now) > s.Every {
		return now
	}
	return st.Next
}

// due returns the lists whose time has come, and who waits for them to be fetched.
func (k *Keeper) due(now time.Time) (due []Spec, told []chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.specs {
		if k.force || !k.dueAt(s, now).After(now) {
			due = append(due, s)
		}
	}
	told = k.told
	k.force, k.told = false, nil
	return due, told
}

// errRefused marks a list that came and is not taken.
var errRefused = errors.New("refused")

// update fetches a list and, if it is a good one, takes it.
func (k *Keeper) update(ctx context.Context, s Spec) {
	st := k.cfg.Store.State(s.Name)
	if st.Source != s.source() {
		st = State{Name: s.Name, Source: s.source(), Entries: st.Entries, Fetched: st.Fetched}
	}
	err := k.renew(ctx, s, &st)
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	st.Checked, st.Next = now.UTC(), now.Add(s.Every).UTC()
	switch {
	case err == nil:
		st.Error, st.Failures = "", 0
	default:
		st.Error, st.Failures = err.Error(), st.Failures+1
		st.Next = now.Add(backoff(st.Failures, s.Every)).UTC()
		k.tell(s, &st, err)
	}
	if err := k.cfg.Store.setState(st); err != nil {
		k.cfg.Log.Error("the state of a feed cannot be kept", "feed", s.Name, "error", err)
		k.giveUp(s.Name) // or it would be fetched again and again
	}
}

// tell tells of a list that was not updated: its last good copy stays in force.
func (k *Keeper) tell(s Spec, st *State, err error) {
	if errors.Is(err, errRefused) {
		st.Refused++
		if k.cfg.Refused != nil {
			k.cfg.Refused(s.Name, err)
			return
		}
	}
	k.cfg.Log.Error("a feed was not updated: its last good copy stays in force", "feed", s.Name, "error", err, "entries", st.Entries, "failures", st.Failures)
}

// giveUp keeps a list no more, until Keep.
func (k *Keeper) giveUp(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.specs, name)
}

// backoff is when to try again after so many failures.
func backoff(failures uint64, every time.Duration) time.Duration {
	return min(MinEvery<<min(failures-1, 10), every)
}

// renew fetches, looks, swaps and keeps, in this order. What fails on the way leaves the copy at hand in force.
func (k *Keeper) renew(ctx context.Context, s Spec, st *State) error {
	next := *st
	before, err := k.cfg.Store.Load(s)
	good := err == nil && before.Entries == st.Entries
	if !good {
		next.ETag, next.Modified = "", "" // the copy is no longer what the server would compare with
	}
	content, err := fetch(ctx, s, &next)
	if errors.Is(err, errUnchanged) {
		return nil
	}
	if err != nil {
		return err
	}
	if good && k.cfg.Store.holds(s.Name, content) { // many servers have no other way to say that nothing is new
		*st = next
		return nil
	}
	l, err := Parse(s.Format, content, s.Max)
	if err == nil {
		err = k.sane(s, before, l)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	if err := k.cfg.Swap(ctx, s.Name, l); err != nil {
		return err
	}
	if err := k.cfg.Store.save(s.Name, content); err != nil {
		return fmt.Errorf("keep a copy: %w", err)
	}
	next.Entries, next.Fetched = l.Entries, time.Now().UTC()
	*st = next
	k.cfg.Log.Info("feed updated", "feed", s.Name, "entries", l.Entries)
	return nil
}

// sane compares a list with the copy at hand, if there is a good one, and with what is protected.
func (k *Keeper) sane(s Spec, before, l List) error {
	if err := s.Follows(before, l); err != nil {
		return err
	}
	return k.spares(l)
}

// Follows fails where a list cannot be the next one after another, or after none.
func (s Spec) Follows(before, l List) error {
	if l.Entries*100 < before.Entries*(100-s.Shrink) {
		return fmt.Errorf("it has %d entries, and had %d: it shrank by more than %d%%", l.Entries, before.Entries, s.Shrink)
	}
	if l.Entries == 0 && s.Shrink < 100 {
		return errors.New("it is empty")
	}
	return nil
}

// spares fails where a list covers what is protected.
func (k *Keeper) spares(l List) error {
	for p := range l.Addrs.Prefixes() {
		if k.cfg.Protects(p) {
			return fmt.Errorf("%s is, or holds, a protected address", p)
		}
	}
	return nil
}
