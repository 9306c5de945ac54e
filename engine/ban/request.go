package ban

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"moonlatch/engine/nft"
)

// decision is what follows from a request.
type decision struct {
	request Request
	full    held // the ban as asked for, or the one that there is with ErrDuplicate
	put     held // as the kernel is to hold it for now, which during a trial is not beyond its end
	before  *held
	// needless means that the target is banned until put.until already: only the end of the trial brings something new.
	needless bool
	offence  bool // it is a new one
	nth      int  // which one of its target
	err      error
}

// Ban bans, and returns when the kernel has acknowledged it. During a trial a
// policy's ban ends with the trial; see BeginTrial. Errors are ErrBadTarget,
// ErrBadTime, ErrProtected, ErrTrialOver, nft.ErrFull when the kernel has no room
// for more bans, and ErrDuplicate, together with the ban that there is (but for Why
// and Since), when the target is banned for as long already. A policy's ban must
// last longer by a tenth of its time, so that repeated offences do not extend it again and again.
func (b *Book) Ban(ctx context.Context, r Request) (Ban, error) {
	r, err := r.normal()
	if err != nil {
		b.counters.suppressed(SuppressedInvalid)
		return Ban{}, err
	}
	all := b.carryOut(ctx, []Request{r}, true)
	for _, d := range all {
		b.finish(d)
	}
	d := all[0]
	switch {
	case errors.Is(d.err, ErrDuplicate):
		there := b.ban(d.full)
		there.Since = time.Time{} // which only the kernel knows
		return there, fmt.Errorf("ban %s: %w", show(r.Target), d.err)
	case d.err != nil:
		return Ban{}, fmt.Errorf("ban %s: %w", show(r.Target), d.err)
	}
	return b.made(d), nil
}

// carryOut carries out requests but those of targets that this host has connected to, where they
// spare these: for them it asks before any other ban has to wait.
func (b *Book) carryOut(ctx context.Context, requests []Request, ask bool) []decision {
	var spared []decision
	requests = slices.Clone(requests)
	if b.cfg.Connected != nil && slices.ContainsFunc(requests, func(r Request) bool { return r.SpareConnected }) {
		connected, err := b.cfg.Connected()
		requests = slices.DeleteFunc(requests, func(r Request) bool {
			d := decision{request: r, err: err}
			if err == nil && r.SpareConnected && connected(r.Target) {
				d.err = fmt.Errorf("%s %w", show(r.Target), ErrConnected)
			}
			if r.SpareConnected && d.err != nil {
				spared = append(spared, d)
				return true
			}
			return false
		})
	}
	if len(requests) == 0 {
		return spared
	}
	return append(spared, b.book(ctx, requests, ask)...)
}

// book carries out requests, for different targets, in one transaction, or if that
// is refused in one for each. If ask is set, and as long as the book has not adopted
// all bans, it asks the kernel for what other processes banned.
func (b *Book) book(ctx context.Context, requests []Request, ask bool) []decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	var decisions []decision
	for _, r := range requests {
		decisions = append(decisions, b.decide(r, now, ask || !b.adopted.Load()))
	}
	widened := make(map[netip.Prefix]bool)
	for _, d := range decisions {
		if wide, ok := b.widen(d, now); ok && !widened[wide.Target] {
			widened[wide.Target] = true
			decisions = append(decisions, b.decide(wide, now, ask || !b.adopted.Load()))
		}
	}
	c := b.changeFor(decisions)
	err := b.write(ctx, c)
	if err == nil && len(c.lift) > 0 {
		b.evicted(c.lift, requests[0])
	}
	for i := range decisions {
		d := &decisions[i]
		if d.err != nil {
			continue
		}
		if err != nil && !d.needless {
			d.err = err
			if len(c.put) > 1 || errors.Is(err, nft.ErrFull) {
				d.err = b.writeAlone(ctx, *d)
			}
		}
		if d.err == nil {
			b.remember(*d)
		}
	}
	return decisions
}

// decide says what to do about a request. The caller holds b.mu.
func (b *Book) decide(r Request, now time.Duration, ask bool) decision {
	d := decision{request: r}
	if d.err = b.guarded.Load().check(r.Target); d.err != nil {
		return d
	}
	t := targetOf(r.Target)
	if ask && !b.cfg.Played {
		if d.err = b.ask(t, now); d.err != nil {
			return d
		}
	}
	holder, there, banned := b.index.covering(t, now)
	nth := b.offences.count(t, now)
	if d.offence = !banned; d.offence || nth == 0 {
		nth++
	}
	nth = max(nth, r.nth)
	d.nth = nth
	d.full = held{t, note{by: r.By, why: r.Why, origin: r.Origin}, now + r.time(nth)}
	d.put = d.full
	last := there.until() // how long the target is banned anyway
	if r.Origin == Local && b.trial != nil {
		if now >= b.trial.deadline {
			d.err = ErrTrialOver
			return d
		}
		d.put.until = min(d.full.until, b.trial.deadline)
		d.needless = banned && d.put.until <= there.until()
		last = max(last, b.trial.bans[t].full.until)
	}
	if banned && d.full.until <= last+r.margin(nth, last) {
		d.full = held{holder, note{by: b.names.name(there.by), origin: originOf(there)}, there.until()}
		d.err = fmt.Errorf("%s %w, %s", show(r.Target), ErrDuplicate, b.describe(d.full))
		return d
	}
	if d.err = b.hold(r, now); d.err != nil {
		return d
	}
	if e, ok := b.index.get(t); b.trial != nil && ok && e.until() > now {
		d.before = &held{t, b.noteOf(t), e.until()}
	}
	return d
}

// describe says which ban a target has already.
func (b *Book) describe(h held) string {
	text := "by " + h.byline()
	if h.until != forever {
		text = fmt.Sprintf("until %s %s", b.wall(h.until).Format(time.RFC3339), text)
	}
	return fmt.Sprintf("as %s %s", show(h.prefix()), text)
}

func originOf(e entry) Origin {
	if e.manual {
		return Manual
	}
	return Local
}

// remember notes what a ban that the kernel acknowledged means for the next ones. The caller holds b.mu.
func (b *Book) remember(d decision) {
	if d.offence {
		b.offences.add(d.full.target, d.nth, b.clock())
	}
	if b.trial != nil {
		b.trial.remember(d)
	}
}

// finish counts a decision and tells who wants to know.
func (b *Book) finish(d decision) {
	if d.err != nil {
		b.counters.suppressed(reason(d.err))
		if d.request.Origin == Local && isHeld(d.err) {
			b.held.note(d.request, d.err)
		}
		return
	}
	e := b.entry(d.put.note, d.put.until)
	b.counters.banned(Author{By: b.names.name(e.by), Origin: d.put.origin})
	took := b.cfg.Now().Sub(d.request.Packet)
	if b.cfg.Booked != nil {
		b.cfg.Booked(b.made(d))
	}
	if b.cfg.Observe != nil && !d.request.Packet.IsZero() {
		b.cfg.Observe(took)
	}
	if b.cfg.Cut != nil && d.request.Cut {
		b.cfg.Cut(d.put.prefix())
	}
}

// reason returns what a request that failed is counted as.
func reason(err error) string {
	switch {
	case errors.Is(err, ErrProtected):
		return SuppressedProtected
	case errors.Is(err, ErrDuplicate):
		return SuppressedDuplicate
	case errors.Is(err, ErrTrialOver):
		return SuppressedTrialOver
	case errors.Is(err, ErrRate):
		return SuppressedRate
	case errors.Is(err, ErrShare):
		return SuppressedShare
	case errors.Is(err, ErrConnected):
		return SuppressedConnected
	case errors.Is(err, nft.ErrFull):
		return SuppressedSetFull
	}
	return SuppressedKernel
}

// isHeld reports whether there are too many bans, rather than something about this one.
func isHeld(err error) bool {
	return errors.Is(err, ErrRate) || errors.Is(err, ErrShare) || errors.Is(err, nft.ErrFull)
}

// made returns a ban that has just been made.
func (b *Book) made(d decision) Ban {
	ban := b.ban(d.put)
	ban.Offence, ban.Evidence = d.nth, d.request.Evidence
	return ban
}

// ban returns a ban whose time begins to run now.
func (b *Book) ban(h held) Ban {
	return Ban{
		Target: h.prefix(),
		Since:  b.cfg.Now().Add(-h.age).Round(0),
		Until:  b.wall(h.until),
		Why:    h.why,
		By:     h.by,
		Origin: h.origin,
	}
}
