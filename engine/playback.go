package engine

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/detect"
	"moonlatch/engine/lab"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
	"moonlatch/nflog"
)

// Witness is told what a policy does while a capture is played to it. Its methods
// are called before the call that caused it returns.
type Witness interface {
	Found(d *policy.Detector, hit *detect.Hit, target netip.Prefix) // a detector crossed its threshold; target is whom it blames
	Banned(b ban.Ban)
	Refused(r ban.Request) // a ban of somebody who is protected
	Failed(err error)      // a callback of the policy's Lua
}

// Playback is a policy in a lab that a capture is played to. Its clock is the capture's:
// it moves by the packets' times, never back, and with it timers run, bans and
// the elements of sets end, and detectors forget. Only limits, and connection
// tracking, keep to the kernel's own. It belongs to the lab's goroutine.
type Playback struct {
	r       *Rehearsal
	release func()
	nextEnd time.Time // of a ban; zero for none
	aged    time.Time // until when the sets of the policy have aged
	expires bool      // there are such sets
}

// ageEvery is how exactly the elements of the policy's own sets keep to the capture's clock.
const ageEvery = time.Second

// Play stages a policy for a capture that begins at an instant, on a host with
// the given addresses. The caller closes the Playback.
func Play(ctx context.Context, l *lab.Lab, s Staged, from time.Time, hosts []netip.Addr, w Witness, log *slog.Logger) (*Playback, error) {
	for _, a := range hosts {
		if err := l.AddAddress(a); err != nil {
			return nil, explain(err)
		}
	}
	p := &Playback{aged: from}
	in := setting{played: played{at: from, stamp: from, booked: func(b ban.Ban) {
		if p.nextEnd.IsZero() || b.Until.Before(p.nextEnd) {
			p.nextEnd = b.Until
		}
		w.Banned(b)
	}}}
	in.witness.refused = w.Refused
	in.witness.found = func(d *detector, hit *detect.Hit) {
		var target netip.Prefix
		if hit.Src.IsValid() {
			target = sourceTarget(p.r.bans, hit.Src)
		}
		w.Found(d.Detector, hit, target)
	}
	r, err := s.rehearse(ctx, l, in, log)
	if err != nil {
		return nil, err
	}
	p.r, p.expires = r, len(r.policy.Ruleset().Expiring()) > 0
	r.caller.failed = w.Failed
	if p.release, err = l.Still(); err != nil {
		r.Close()
		return nil, explain(err)
	}
	return p, nil
}

// Close frees what the playback holds, but not the lab.
func (p *Playback) Close() error {
	p.release()
	return p.r.Close()
}

// Policy is the policy that the capture is played to.
func (p *Playback) Policy() *policy.Policy { return p.r.policy }

// Place is where the policy has a rule, or its chain's policy; "" for none of its own.
func (p *Playback) Place(chain, rule string) string { return placesOf(p.r.policy).of(chain, rule) }

// Detectors are the policy's, with what they counted.
func (p *Playback) Detectors(each func(*policy.Detector, detect.Stats)) {
	for _, d := range p.r.reader.running.Load().detectors {
		each(d.Detector, d.state.Stats())
	}
}

// Pass sends a packet through the rules at an instant, and returns what became of it.
func (p *Playback) Pass(ctx context.Context, at time.Time, c *lab.Captured) (lab.Fate, error) {
	if err := p.moveTo(ctx, at); err != nil {
		return lab.Fate{}, err
	}
	fate, err := p.r.Inject(c)
	p.r.settle(ctx)
	return fate, err
}

// Take hands the policy's detectors and handlers a packet that was logged to a stream already, by
// the policy's own rule of that name if it has one. It reports false where the
// packet's source is banned by then, so that it would not have been logged.
func (p *Playback) Take(ctx context.Context, stream string, src netip.Addr, ev *nflog.Event) (bool, error) {
	if err := p.moveTo(ctx, ev.Time); err != nil {
		return false, err
	}
	if src.IsValid() && p.r.bans.Holds(src) {
		return false, nil
	}
	rt := p.r.reader.running.Load()
	if rt.routes[string(ev.Prefix)] == nil {
		if len(rt.routes) > maxPrefixes {
			ev.Prefix = append(ev.Prefix[:0:0], stream...) // its rule is nobody's that could be known
		}
		rt.routes[string(ev.Prefix)] = p.listeners(rt, stream, string(ev.Prefix))
	}
	p.r.observe(ev)
	p.r.settle(ctx)
	return true, nil
}

// maxPrefixes bounds the log prefixes of others that are remembered.
const maxPrefixes = 10_000

// listeners are those of a stream, for packets that another policy's rule logged.
func (p *Playback) listeners(rt *runtime, stream, prefix string) *route {
	to := &route{Route: ruleset.Route{Prefix: prefix, Rule: &ruleset.Rule{Name: ruleName(prefix)}}}
	for _, s := range rt.policy.Ruleset().Streams {
		if s.Name == stream {
			to.Stream = s
			to.listen(rt)
		}
	}
	return to
}

// ruleName is the rule in a log prefix of ours.
func ruleName(prefix string) string { return prefix[strings.LastIndex(prefix, ":")+1:] }

// maxSteps bounds what a leap of the capture's clock costs: beyond it, timers that should have run meanwhile run once.
const maxSteps = 10_000

// moveTo lets time pass until an instant, if that has not passed yet.
func (p *Playback) moveTo(ctx context.Context, at time.Time) error {
	r := p.r
	for steps := 0; r.played.at.Before(at); steps++ {
		next := at
		if steps < maxSteps {
			next = p.soonest(at)
		}
		r.played.at = next
		if err := p.end(ctx); err != nil {
			return err
		}
		r.caller.tick(r.now())
		r.settle(ctx)
	}
	r.played.stamp = at
	return nil
}

// soonest is when something happens by itself until an instant.
func (p *Playback) soonest(at time.Time) time.Time {
	next := at
	if due := p.r.now().Add(max(p.r.caller.untilDue(p.r.now()), 0)); due.Before(next) {
		next = due
	}
	if !p.nextEnd.IsZero() && p.nextEnd.Before(next) && p.nextEnd.After(p.r.now()) {
		next = p.nextEnd
	}
	return next
}

// end ends what is over: bans, and elements of sets.
func (p *Playback) end(ctx context.Context) (err error) {
	now := p.r.now()
	if !p.nextEnd.IsZero() && !p.nextEnd.After(now) {
		if p.nextEnd, err = p.r.bans.Expire(ctx); err != nil {
			return err
		}
	}
	if passed := now.Sub(p.aged); p.expires && passed >= ageEvery {
		p.aged = now
		return p.r.ageSets(ctx, passed)
	}
	return nil
}
