package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
	"moonlatch/engine/store"
)

const (
	// restoreAtOnce is how many bans are put back while others wait.
	restoreAtOnce = 1 << 15
	// rememberAtMost is how many offenders a daemon remembers of what was before it.
	rememberAtMost = 1 << 15
	// countDrops is how often the kernel's counters of banned packets are read.
	countDrops = time.Minute
)

// restoreBans puts the bans back that the store knows and the kernel does not, and returns how many. With again set,
// those that the kernel has got back get their reasons back. While one part is on its way to the kernel, the next is read.
func (f *Firewall) restoreBans(ctx context.Context, again bool) (int, error) {
	if !store.Exists(f.history.cfg.Dir) {
		return 0, nil
	}
	s, err := f.history.open()
	if err != nil {
		return 0, err
	}
	r, err := f.bans.Restore(again, hostAddresses())
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reader := newBanReader(ctx, s)
	n, err := r.Add(ctx, reader.next)
	cancel()
	for range reader.parts { // let it end
	}
	if left, example := r.Spared(); left > 0 {
		f.log.Warn("bans on record are not put back, because they would ban who is protected, or this host itself", "bans", left, "example", example)
	}
	if readErr := reader.err; err == nil || !errors.Is(readErr, context.Canceled) {
		err = errors.Join(err, readErr)
	}
	return n, err
}

// banReader reads the bans that are to be in force, those of one kernel set after those of another.
type banReader struct {
	parts chan []ban.Ban // closed at the end
	done  chan []ban.Ban // to be used again
	err   error          // to be read at the end

	last []ban.Ban // what next returned
}

func newBanReader(ctx context.Context, s *store.Store) *banReader {
	r := &banReader{parts: make(chan []ban.Ban), done: make(chan []ban.Ban, 2)}
	for range cap(r.done) { // one is read while the other is on its way to the kernel
		r.done <- make([]ban.Ban, 0, restoreAtOnce)
	}
	go r.read(ctx, s)
	return r
}

// next returns bans, valid until it is called again, and none at the end.
func (r *banReader) next() []ban.Ban {
	if r.last != nil {
		r.done <- r.last[:0]
	}
	r.last = <-r.parts
	return r.last
}

// read is what another goroutine does meanwhile.
func (r *banReader) read(ctx context.Context, s *store.Store) {
	defer close(r.parts)
	part := <-r.done
	send := func() bool {
		select {
		case r.parts <- part:
		case <-ctx.Done():
			return false
		}
		select {
		case part = <-r.done:
			return true
		case <-ctx.Done():
			return false
		}
	}
	err := s.Bans(ctx, time.Now(), func(b store.Ban) bool {
		if !b.Trial {
			part = append(part, ban.Ban{Target: b.Target, Since: b.Since, Until: b.Until, Why: b.Why, By: b.By, Origin: ban.Origin(b.Origin)})
		}
		return len(part) < restoreAtOnce || send()
	})
	if err == nil && ctx.Err() == nil && len(part) > 0 {
		send()
	}
	r.err = errors.Join(err, ctx.Err())
}

// persist keeps the bans of the kernel and of the store the same, and counts what bans drop.
func (d *Daemon) persist(ctx context.Context) error {
	d.rememberOffences(ctx)
	if !d.adopted(ctx) {
		return nil
	}
	d.restoreOrSay(ctx, false)
	d.history.lose() // what other processes did meanwhile
	drops := time.NewTicker(countDrops)
	defer drops.Stop()
	last := map[string]uint64{}
	d.countDropped(last)
	for {
		select {
		case <-ctx.Done():
			d.countDropped(last)
			return nil
		case <-d.history.lost:
			if err := d.compareBans(ctx); err != nil && ctx.Err() == nil {
				d.log.Error("the bans in force could not be compared with those on record", "error", err)
			}
		case <-d.history.mended:
			d.restoreOrSay(ctx, true)
		case <-drops.C:
			d.countDropped(last)
		}
	}
}

// adopted waits until the book knows all bans that the kernel holds.
func (d *Daemon) adopted(ctx context.Context) bool {
	for !d.bans.Stats().Adopted {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}

func (d *Daemon) restoreOrSay(ctx context.Context, again bool) {
	start := time.Now()
	n, err := d.restoreBans(ctx, again)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		d.log.Error("bans on record could not be put back", "put_back", n, "error", err)
	case n > 0:
		d.log.Info("bans on record are in force again", "bans", n, "seconds", time.Since(start).Seconds())
	}
}

// rememberOffences gives the book the offences of the time before this daemon.
func (d *Daemon) rememberOffences(ctx context.Context) {
	s, err := d.history.open()
	if err != nil {
		return // which was said
	}
	known, err := s.Offences(ctx, time.Now().Add(-ban.Forget), rememberAtMost)
	var list []ban.Offence
	for _, o := range slices.Backward(known) { // the latest last
		if ban.CheckTarget(o.Target) == nil {
			list = append(list, ban.Offence{Target: o.Target, Count: o.Count, Last: o.Last})
		}
	}
	if err == nil {
		err = d.bans.Remember(list)
	}
	if err != nil && ctx.Err() == nil {
		d.log.Error("past offences are not remembered", "error", err)
	}
}

// compareBans makes the store's bans those of the kernel.
func (d *Daemon) compareBans(ctx context.Context) error {
	s, err := d.history.open()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := s.Flush(ctx); err != nil {
		return err
	}
	var over []netip.Prefix
	known := 0
	err = s.Bans(ctx, time.Now(), func(b store.Ban) bool {
		if d.bans.Knows(b.Target) {
			known++
		} else {
			over = append(over, b.Target)
		}
		return true
	})
	if err != nil {
		return err
	}
	d.bans.Tell(over)
	if known >= d.bans.InForce() {
		return nil
	}
	for part := range d.bans.Targets() {
		missing, err := s.Missing(ctx, part)
		if err != nil {
			return err
		}
		d.bans.Tell(missing)
	}
	return nil
}

// forgetOnRecord strikes bans of a target, or of what is in it, off the record, from which a boot would put them back
// though the kernel does not hold them any more. It returns how many there were.
func (f *Firewall) forgetOnRecord(ctx context.Context, target netip.Prefix) (n int) {
	if !store.Exists(f.history.cfg.Dir) {
		return 0
	}
	s, err := f.history.open()
	if err != nil {
		return 0
	}
	err = s.Bans(ctx, time.Now(), func(b store.Ban) bool {
		if target.Contains(b.Target.Addr()) && b.Target.Bits() >= target.Bits() {
			n++
			s.Forget(b.Target)
		}
		return true
	})
	if err != nil {
		f.log.Error("bans on record could not be struck off: a boot brings them back", "target", target, "error", err)
	}
	return n
}

// countDropped adds to the history what the bans have dropped since the last time.
func (d *Daemon) countDropped(last map[string]uint64) {
	counters, err := d.nft.Counters(nft.Table{Family: nft.Inet, Name: ruleset.CoreTable})
	if unreadable(err) {
		return
	}
	first := len(last) == 0
	now := map[string]uint64{}
	dropped := uint64(0)
	for _, c := range counters {
		now[c.Name] = c.Packets
		if c.Packets >= last[c.Name] {
			dropped += c.Packets - last[c.Name]
		}
	}
	maps.Copy(last, now)
	if dropped > 0 && !first {
		d.history.write(func(s *store.Store) { s.Dropped(int64(dropped)) })
	}
}

// bansNotBack says what a boot could not put back.
func bansNotBack(n int, err error) error {
	return fmt.Errorf("the bans on record could not be put back, but for %d; moonlatch run tries again: %w", n, err)
}

// runningPolicy is what a policy's ban is put down to.
func (d *Daemon) runningPolicy() (policy string, generation uint64) {
	rt := d.running.Load()
	if rt == nil {
		return "", 0
	}
	return rt.policy.Ruleset().Policy, rt.generation
}
