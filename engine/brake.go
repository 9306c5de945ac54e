package engine

import (
	"errors"
	"fmt"

	"moonlatch/engine/ban"
	"moonlatch/engine/policy"
)

// heed has the book hold back and aggregate bans as a policy says, or by the defaults where it says nothing.
func heed(bans *ban.Book, p *policy.Policy) error {
	if err := errors.Join(bans.SetBrake(brakeOf(p.Brake())), bans.Aggregate(aggregationOf(p.Aggregation()))); err != nil {
		return fmt.Errorf("policy %s: %w", p.Ruleset().Policy, err)
	}
	return nil
}

func brakeOf(b policy.Brake) ban.Brake {
	out := ban.DefaultBrake()
	switch {
	case b.AnyRate:
		out.Bans, out.Per = 0, 0
	case b.Bans > 0:
		out.Bans, out.Per = b.Bans, b.Per
	}
	if b.Most > 0 {
		out.Most = b.Most
	}
	for _, s := range b.Shares {
		out.Shares = append(out.Shares, ban.Share(s))
	}
	return out
}

func aggregationOf(a policy.Aggregation) ban.Aggregation {
	out := ban.DefaultAggregation()
	out.Bits4 = a.Bits4
	switch {
	case a.Never6:
		out.Bits6 = 0
	case a.Bits6 > 0:
		out.Bits6 = a.Bits6
	}
	if a.Over > 0 {
		out.Over = a.Over
	}
	return out
}

// request is what a policy asks of the book.
func request(b policy.Ban) ban.Request {
	return ban.Request{
		Target: b.Target, Times: b.Times, Why: b.Why, By: b.By, Origin: ban.Local,
		SpareConnected: b.SpareConnected, Cut: b.Kill,
	}
}
