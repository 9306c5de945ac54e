package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"go4.org/netipx"

	"moonlatch/engine/ban"
	"moonlatch/engine/control"
	"moonlatch/engine/nft"
	"moonlatch/engine/plan"
	"moonlatch/engine/ruleset"
)

// Explain implements control.Service.
func (f *Firewall) Explain(ctx context.Context, req control.ExplainRequest) (control.Explanation, error) {
	target, err := parseTarget(req.Target)
	if err != nil {
		return control.Explanation{}, &control.Error{Code: control.BadRequest, Message: err.Error()}
	}
	target = target.Masked()
	out := control.Explanation{
		APIVersion: control.Version, Target: showTarget(target),
		Protected: []control.Protection{}, Bans: []control.BanReason{}, Sets: []control.Membership{}, Rules: []control.Naming{},
	}
	for _, p := range f.bans.Protectors(target) {
		by := p.Owner
		if by == ban.Kernel {
			by = "the policy, this host or a session, as the daemon noted it in the kernel"
		}
		out.Protected = append(out.Protected, control.Protection{Target: showTarget(p.Prefix), By: by})
	}
	bans, err := f.bansOf(ctx, target)
	if err != nil {
		return out, explain(err)
	}
	for _, b := range bans {
		out.Bans = append(out.Bans, control.BanReason{Ban: f.tellBan(b), Evidence: tellEvidence(f.evidence.find(b.Target))})
	}
	if err := f.inRules(&out, target); err != nil {
		return out, explain(err)
	}
	out.Location = f.locateAlone(target, out.Generation)
	return out, nil
}

// bansOf lists the bans that cover a target, and those inside of a prefix.
func (f *Firewall) bansOf(ctx context.Context, target netip.Prefix) ([]ban.Ban, error) {
	if target.IsSingleIP() {
		bans, err := f.bans.Covering(target.Addr())
		if !errors.Is(err, nft.ErrNotExist) {
			return bans, err
		}
		return nil, nil // somebody has just taken the table away
	}
	all, err := f.listBans(ctx)
	var out []ban.Ban
	for _, b := range all {
		if b.Target.Overlaps(target) {
			out = append(out, b)
		}
	}
	return out, err
}

func tellEvidence(e *ban.Evidence) *control.BanEvidence {
	if e == nil {
		return nil
	}
	out := &control.BanEvidence{Count: e.Count, Of: e.Of, First: e.First, Last: e.Last, Ports: e.Ports}
	for _, a := range e.Addrs {
		out.Addrs = append(out.Addrs, a.String())
	}
	return out
}

// inRules finds the sets of the generation in force that hold the target, and the rules that name it.
func (f *Firewall) inRules(out *control.Explanation, target netip.Prefix) error {
	s, err := f.generations.State()
	if err != nil {
		return err
	}
	g := s.InForce()
	if g == nil {
		return nil
	}
	out.Generation = describe(g)
	names := map[string]bool{}
	if target.IsSingleIP() {
		if names, err = f.setsOf(out, target.Addr(), nft.Table{Family: nft.Inet, Name: ruleset.Table(g.Number)}); err != nil {
			return err
		}
	}
	text, _, err := f.generations.Text(g.Number)
	if err != nil {
		return err
	}
	for _, r := range plan.Parse(text, nil).Rules() {
		for _, line := range r.Lines {
			if by := naming(line, target, names); by != "" {
				out.Rules = append(out.Rules, control.Naming{Chain: r.Chain, Rule: r.Name, Text: strings.Replace(line, " counter", "", 1), By: by})
			}
		}
	}
	return nil
}

// setsOf notes the sets of a table that hold an address, and returns their names in the kernel.
func (f *Firewall) setsOf(out *control.Explanation, addr netip.Addr, t nft.Table) (map[string]bool, error) {
	names := map[string]bool{}
	digit := "4" // of the kernel's set of a family
	if addr.Is6() {
		digit = "6"
	}
	sets, err := f.nft.Sets(t)
	if errors.Is(err, nft.ErrNotExist) {
		return names, nil // a generation may have ended a moment ago
	}
	if unreadable(err) {
		return nil, err
	}
	for _, s := range sets {
		if !s.Fits(addr) {
			continue
		}
		key := addr
		if addr.Is6() && s.Name == ruleset.Trapped+"6" {
			key = netip.PrefixFrom(addr, 64).Masked().Addr() // a trap catches the whole /64
		}
		e, ok, err := f.nft.Element(t, s.Name, host(key))
		if err != nil && !errors.Is(err, nft.ErrNotExist) {
			return nil, fmt.Errorf("look up %s in set %s: %w", addr, s.Name, err)
		}
		if !ok || err != nil {
			continue
		}
		names[s.Name] = true
		m := control.Membership{Set: strings.TrimSuffix(s.Name, digit), Element: showTarget(e.Prefix), Left: e.Expires.Seconds()}
		if m.Set == ruleset.Trapped {
			m.Set = "trap"
		}
		out.Sets = append(out.Sets, m)
	}
	return names, nil
}

// naming returns the word of a rule's text that names a target: an address, a prefix or a range that holds some of it, or
// one of the sets; "" for none.
func naming(text string, target netip.Prefix, sets map[string]bool) string {
	if i := strings.LastIndex(text, ` comment "`); i >= 0 {
		text = text[:i]
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '{' || r == '}' })
	for i, w := range words {
		if set, ok := strings.CutPrefix(w, "@"); ok && sets[set] {
			return w
		}
		if i == 0 || !strings.ContainsAny(w, ".:") {
			continue
		}
		if a, err := netip.ParseAddr(w); err == nil && target.Contains(a) {
			return w
		}
		if p, err := netip.ParsePrefix(w); err == nil && p.Overlaps(target) {
			return w
		}
		if r, err := netipx.ParseIPRange(w); err == nil && r.Overlaps(netipx.RangeOfPrefix(target)) {
			return w
		}
	}
	return ""
}

// Explain implements control.Service: the daemon knows where its detectors are.
func (d *Daemon) Explain(ctx context.Context, req control.ExplainRequest) (control.Explanation, error) {
	out, err := d.Firewall.Explain(ctx, req)
	if rt := d.running.Load(); rt != nil {
		for i, b := range out.Bans {
			for _, dt := range rt.detectors {
				if dt.Name == b.By && b.Origin == string(ban.Local) {
					out.Bans[i].Place = dt.Pos.String()
				}
			}
		}
	}
	return out, err
}
