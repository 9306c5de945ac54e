package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"moonlatch/engine/boottime"
	"moonlatch/engine/control"
	"moonlatch/engine/feed"
	"moonlatch/engine/generation"
	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
	"moonlatch/engine/session"
)

// Confirm implements control.Service.
func (f *Firewall) Confirm(ctx context.Context, req control.ConfirmRequest) (control.Confirmed, error) {
	if req.NewSession {
		number, err := f.refuseOldSession(req)
		if err != nil {
			return control.Confirmed{}, explain(err)
		}
		req.Generation = number // what the session was compared with, and nothing that has taken its place
	}
	g, err := f.generations.Confirm(ctx, req.Generation)
	if err != nil {
		return control.Confirmed{}, explain(err)
	}
	told := TellSession(req, g.Armed)
	f.tell(feed.Item{Kind: feed.KindConfirm, Generation: &feed.Generation{
		Number: g.Number, Policy: g.Policy, By: req.By, Session: told.Session, Why: told.Why,
	}})
	return control.Confirmed{APIVersion: control.Version, Generation: *describe(&g), Session: told}, nil
}

// refuseOldSession returns which generation may be confirmed: the one on trial,
// if the session is shown to be younger than that.
func (f *Firewall) refuseOldSession(req control.ConfirmRequest) (uint64, error) {
	s, err := f.generations.State()
	if err != nil || s.Trial == nil || s.Expired {
		return req.Generation, err // confirming tells why not
	}
	told, reason := TellSession(req, s.Trial.Armed), ""
	switch told.Session {
	case control.SessionNew:
		return s.Trial.Number, nil
	case control.SessionOld:
		reason = fmt.Sprintf("this session was there before generation %d was applied", s.Trial.Number)
	default:
		reason = fmt.Sprintf("nothing shows that this session is younger than generation %d: %s", s.Trial.Number, told.Why)
	}
	return 0, &control.Error{Code: control.Refused, Message: "not confirmed: " + reason +
		"; open a new connection and confirm there, or do without --new-session"}
}

// TellSession compares the session of whoever confirms with the instant from
// which the rules were in force.
func TellSession(req control.ConfirmRequest, armed boottime.Instant) control.Session {
	unknown := func(why string) control.Session {
		return control.Session{Session: control.SessionUnknown, Why: why}
	}
	if req.PID == control.NoProcess {
		return unknown("a page does not show how old the connection is that it comes over")
	}
	s, err := session.Of(req.PID)
	if err != nil {
		return unknown(err.Error())
	}
	age := s.Compared(armed)
	switch {
	case age == session.Unknown:
		return unknown("it is not on record when the rules came into force")
	case age == session.New && slices.ContainsFunc(req.From, ownAddress):
		return unknown("it comes from this host itself, and not over the network")
	}
	return control.Session{Session: string(age), Since: wallClock(s.Start)}
}

// ownAddress reports whether an address is one of this host's, or not one at all.
func ownAddress(text string) bool {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return true
	}
	return a.IsLoopback() || slices.Contains(ownAddresses(), host(a))
}

// wallClock is when an instant of this boot was, for people.
func wallClock(i boottime.Instant) time.Time {
	now, err := boottime.Now()
	if err != nil {
		return time.Time{}
	}
	ago, _ := now.Sub(i)
	return time.Now().Add(-ago).Truncate(time.Second)
}

// Extend implements control.Service.
func (f *Firewall) Extend(ctx context.Context, req control.ExtendRequest) (control.Extended, error) {
	g, deadline, err := f.generations.Extend(ctx, req.For)
	if err != nil {
		return control.Extended{}, explain(err)
	}
	return control.Extended{
		APIVersion: control.Version, Generation: f.describeTrial(g),
		Left: time.Until(deadline).Seconds(), Deadline: deadline,
	}, nil
}

// Rollback implements control.Service.
func (f *Firewall) Rollback(ctx context.Context, req control.RollbackRequest) (control.Status, error) {
	before, stateErr := f.generations.State()
	s, err := f.rollback(ctx, req)
	if err == nil && stateErr == nil && before.Trial != nil {
		f.publish(feed.Item{Kind: feed.KindRollback, Generation: &feed.Generation{Number: before.Trial.Number, Policy: before.Trial.Policy, By: req.By}})
	}
	return s, err
}

func (f *Firewall) rollback(ctx context.Context, req control.RollbackRequest) (control.Status, error) {
	if err := f.generations.Rollback(ctx, req.Generation); err != nil {
		return control.Status{}, explain(err)
	}
	return f.Status(ctx)
}

// OnTrial returns the generation on trial in the current network namespace, nil if
// there is none. Unlike Open it changes nothing.
func OnTrial(state string) (*control.Generation, error) {
	client, err := nft.Open(nft.Config{})
	if err != nil {
		return nil, explain(err)
	}
	defer client.Close()
	m, err := generation.Open(generation.Config{NFT: client, Dir: state})
	if err != nil {
		return nil, explain(err)
	}
	s, err := m.State()
	if err != nil || s.Expired {
		return nil, explain(err)
	}
	return describe(s.Trial), nil
}

// putBackPatience is how long PutBack waits for a process that changes the generations. One that
// somebody has stopped holds nothing up.
const putBackPatience = 300 * time.Millisecond

// PutBack runs fn, which brings rules back as they were, the generations too: no daemon takes
// that for somebody else's doing. Whatever keeps that from being seen to, fn is run.
func PutBack(ctx context.Context, state string, fn func() error) error {
	client, err := nft.Open(nft.Config{})
	if err != nil {
		return fn()
	}
	defer client.Close()
	m, err := generation.Open(generation.Config{NFT: client, Dir: state})
	if err != nil {
		return fn()
	}
	ctx, cancel := context.WithTimeout(ctx, putBackPatience)
	defer cancel()
	ran := false
	err = m.PutBack(ctx, func() error {
		ran = true
		return fn()
	})
	if !ran {
		return fn()
	}
	return err
}

// trialLength is how long the trial lasts from its beginning to its end,
// extensions included.
func trialLength(s generation.State) time.Duration {
	if s.Trial == nil || s.Expired {
		return 0
	}
	now, err := boottime.Now()
	past, ok := now.Sub(s.Trial.Armed)
	if err != nil || !ok {
		return max(s.Trial.Confirm, s.Left)
	}
	return past + s.Left
}

// CheckTrial refuses a length of a trial that cannot do its work.
func CheckTrial(d time.Duration) error { return ruleset.CheckTrial(d) }
