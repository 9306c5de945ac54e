package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/connection"
	"moonlatch/engine/control"
	"moonlatch/engine/generation"
	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// Ban implements control.Service.
func (f *Firewall) Ban(ctx context.Context, req control.BanRequest) (control.Ban, error) {
	target, err := parseTarget(req.Target)
	if err != nil {
		return control.Ban{}, &control.Error{Code: control.BadRequest, Message: err.Error()}
	}
	if err := ban.CheckTarget(target); err != nil {
		return control.Ban{}, explain(err)
	}
	asked := ban.Request{Target: target, Times: []time.Duration{req.For}, Why: req.Why, By: "manual", Origin: ban.Manual}
	do := f.banWhole
	if req.Split {
		do = f.banSplit
	}
	out, banned, err := do(ctx, asked)
	if err != nil {
		return control.Ban{}, explain(err)
	}
	if req.Kill {
		if out.Killed, err = connection.Cut(banned); err != nil {
			return out, explain(fmt.Errorf("%s is banned, but what is established with it may go on: %w", out.Target, err))
		}
	}
	return out, nil
}

// banWhole bans a target, or says what else can be done about it.
func (f *Firewall) banWhole(ctx context.Context, asked ban.Request) (control.Ban, []netip.Prefix, error) {
	err := spareHost(asked.Target)
	var b ban.Ban
	if err == nil {
		b, err = f.bans.Ban(ctx, asked)
	}
	if errors.Is(err, ban.ErrProtected) && !asked.Target.IsSingleIP() {
		err = fmt.Errorf("%w; moonlatch ban %s --split bans the rest of it", err, asked.Target)
	}
	if err != nil {
		return control.Ban{}, nil, err
	}
	return f.tellBan(b), []netip.Prefix{b.Target}, nil
}

// banSplit bans what of a target is not protected.
func (f *Firewall) banSplit(ctx context.Context, asked ban.Request) (control.Ban, []netip.Prefix, error) {
	s, err := f.bans.BanSplit(ctx, asked, hostAddresses())
	if err != nil {
		return control.Ban{}, nil, err
	}
	out := f.tellBan(s.Bans[0])
	out.Target = showTarget(asked.Target)
	var banned []netip.Prefix
	for _, b := range s.Bans {
		banned = append(banned, b.Target)
		out.Parts = append(out.Parts, showTarget(b.Target))
	}
	for _, p := range s.But {
		out.But = append(out.But, showTarget(p))
	}
	return out, banned, nil
}

// connected finds out whom this host has opened connections to.
func connected() (func(netip.Prefix) bool, error) {
	opened, err := connection.FindOpened()
	return opened, err
}

// spareHost refuses to ban what this host cannot do without, whether or not a
// daemon has protected it.
func spareHost(target netip.Prefix) error {
	for _, p := range hostAddresses() {
		if p.Overlaps(target) {
			return fmt.Errorf("%s %w: %s is this host's own, its gateway's or a resolver's", showTarget(target), ban.ErrProtected, p.Addr())
		}
	}
	return nil
}

// Unban implements control.Service: of a prefix, it lifts all within. It also frees a source that a trap of the
// generation in force caught.
func (f *Firewall) Unban(ctx context.Context, req control.UnbanRequest) (control.UnbanResult, error) {
	out := control.UnbanResult{APIVersion: control.Version}
	if req.All {
		n, err := f.bans.UnbanAll(ctx)
		out.Lifted = n
		return out, explain(errors.Join(err, f.untrap(netip.Prefix{})))
	}
	if req.By != "" {
		return f.unbanBy(ctx, req.By)
	}
	target, err := parseTarget(req.Target)
	if err != nil {
		return out, &control.Error{Code: control.BadRequest, Message: err.Error()}
	}
	out.Lifted, err = f.bans.UnbanWithin(ctx, target)
	if errors.Is(err, ban.ErrNotBanned) {
		if n := f.forgetOnRecord(ctx, target); n > 0 {
			out.Lifted, err = n, nil
		}
	}
	if err != nil {
		return out, explain(err)
	}
	return out, explain(f.untrap(target))
}

// untrap frees a target, or with the zero Prefix everybody, that a trap of a
// generation in the kernel caught.
func (f *Firewall) untrap(target netip.Prefix) error {
	s, err := f.generations.State()
	if err != nil {
		return err
	}
	for _, g := range []*generation.Generation{s.Trial, s.Confirmed} {
		if g == nil {
			continue
		}
		t := nft.Table{Family: nft.Inet, Name: ruleset.Table(g.Number)}
		for _, set := range []string{ruleset.Trapped + "4", ruleset.Trapped + "6"} {
			if err := untrapFrom(f.nft, t, set, target); err != nil {
				return err
			}
		}
	}
	return nil
}

// untrapFrom frees a target from one set. A generation without traps has no such
// set, and what the kernel's timeout frees meanwhile is free.
func untrapFrom(c *nft.Client, t nft.Table, set string, target netip.Prefix) error {
	trapped, err := c.Elements(t, set)
	if err != nil && !errors.Is(err, nft.ErrNotExist) {
		return err
	}
	for _, e := range trapped {
		if target.IsValid() && !target.Overlaps(trappedPrefix(e)) {
			continue
		}
		tx := c.Begin()
		tx.DeleteElements(t, set, []netip.Prefix{e.Prefix})
		if err := tx.Commit(); err != nil && !errors.Is(err, nft.ErrNotExist) {
			return err
		}
	}
	return nil
}

// trappedPrefix is what a trap's element stands for: of IPv6, a /64.
func trappedPrefix(e nft.Element) netip.Prefix {
	if e.Prefix.Addr().Is6() {
		return netip.PrefixFrom(e.Prefix.Addr(), 64)
	}
	return e.Prefix
}

// Bans implements control.Service.
func (f *Firewall) Bans(ctx context.Context) ([]control.Ban, error) {
	all, err := f.listBans(ctx)
	if err != nil {
		return nil, explain(err)
	}
	out := make([]control.Ban, len(all))
	for i, b := range all {
		out[i] = f.tellBan(b)
	}
	return out, nil
}

// listBans lists the bans, once more where somebody has just taken the table away.
func (f *Firewall) listBans(ctx context.Context) ([]ban.Ban, error) {
	all, err := f.bans.Bans(ctx)
	if !errors.Is(err, nft.ErrNotExist) {
		return all, err
	}
	if _, err := f.bans.Mend(ctx); err != nil {
		return nil, err
	}
	return f.bans.Bans(ctx)
}

func (f *Firewall) tellBan(b ban.Ban) control.Ban {
	return control.Ban{
		Target: showTarget(b.Target), Since: b.Since, Until: b.Until, By: b.By, Why: b.Why, Origin: string(b.Origin), Location: f.locate(b.Target),
	}
}

// showTarget writes a host as an address and the rest as a prefix.
func showTarget(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// parseTarget reads an address or a prefix.
func parseTarget(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%q is no prefix: write it as 192.0.2.0/24 or 2001:db8::/64", s)
		}
		return p, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no IP address or prefix: write it as 192.0.2.1, 192.0.2.0/24, 2001:db8::1 or 2001:db8::/64", s)
	}
	return host(a), nil
}
