package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"moonlatch/engine/ban"
	"moonlatch/engine/control"
	"moonlatch/engine/session"
)

// Who protects addresses from bans, as the ban book's errors name them.
const (
	protectHost     = "this host"
	protectGateway  = "this host's default gateway"
	protectResolver = "this host's resolver"
	protectPolicy   = "the policy"
	protectSession  = "your session" // that of the last apply
	protectLogin    = "a login"      // live ones
	protectUser     = "moonlatch protect"
	protectName     = "the policy, by its name " // with the name
)

// owners are they for the control API.
var owners = map[string]string{
	protectHost: control.OwnerHost, protectGateway: control.OwnerGateway, protectResolver: control.OwnerResolver,
	protectPolicy: control.OwnerPolicy, protectSession: control.OwnerSession, protectLogin: control.OwnerSession,
	protectUser: control.OwnerUser, ban.Kernel: control.OwnerKernel,
}

// Protected implements control.Service.
func (f *Firewall) Protected(context.Context) ([]control.Protected, error) {
	out, err := f.protected.list()
	if err != nil {
		return nil, explain(err)
	}
	lists := f.bans.Protection()
	for owner, list := range hostProtection() {
		lists[owner] = list // which nobody may have protected yet
	}
	delete(lists, protectUser)
	if lists[ban.Kernel], err = unknownOf(lists, out); err != nil {
		return nil, explain(err)
	}
	for owner, list := range lists {
		word, note := owners[owner], ""
		if name, ok := strings.CutPrefix(owner, protectName); ok {
			word, note = control.OwnerPolicy, name
		}
		for _, p := range list {
			out = append(out, control.Protected{Target: showTarget(p), Owner: word, Note: note})
		}
	}
	slices.SortFunc(out, compareProtected)
	return slices.CompactFunc(out, func(x, y control.Protected) bool { return compareProtected(x, y) == 0 && x.Note == y.Note }), nil
}

// Protected implements control.Service: the daemon knows which names do not resolve.
func (d *Daemon) Protected(ctx context.Context) ([]control.Protected, error) {
	list, err := d.Firewall.Protected(ctx)
	for i, p := range list {
		if p.Owner != control.OwnerPolicy || p.Note == "" {
			continue
		}
		if at, ok := d.protector.names.unresolved(p.Note); ok {
			list[i].Resolved = at
		}
	}
	return list, err
}

func compareProtected(x, y control.Protected) int {
	if c := strings.Compare(x.Owner, y.Owner); c != 0 {
		return c
	}
	p, _ := parseTarget(x.Target)
	q, _ := parseTarget(y.Target)
	return p.Compare(q)
}

// unknownOf returns what of the kernel's list no other owner protects.
func unknownOf(lists map[string][]netip.Prefix, users []control.Protected) ([]netip.Prefix, error) {
	var b netipx.IPSetBuilder
	for _, p := range lists[ban.Kernel] {
		b.AddPrefix(p)
	}
	for owner, list := range lists {
		for _, p := range list {
			if owner != ban.Kernel {
				b.RemovePrefix(p)
			}
		}
	}
	for _, u := range users {
		p, err := parseTarget(u.Target)
		if err != nil {
			return nil, err
		}
		b.RemovePrefix(p)
	}
	set, err := b.IPSet()
	if err != nil {
		return nil, err
	}
	return set.Prefixes(), nil
}

// Protect implements control.Service. It also frees what a trap caught.
func (f *Firewall) Protect(ctx context.Context, req control.ProtectRequest) (control.ProtectResult, error) {
	target, err := parseProtected(req.Target)
	if err != nil {
		return control.ProtectResult{}, &control.Error{Code: control.BadRequest, Message: err.Error()}
	}
	if err := checkNote(req.Note); err != nil {
		return control.ProtectResult{}, &control.Error{Code: control.BadRequest, Message: err.Error()}
	}
	entry, err := f.protected.add(target, req.Note)
	if err != nil {
		return control.ProtectResult{}, explain(err)
	}
	covering, err := f.bans.Overlapping(target)
	if err == nil {
		err = f.protectUsers(ctx)
	}
	if err == nil {
		err = f.untrap(target)
	}
	if err != nil {
		return control.ProtectResult{}, explain(fmt.Errorf("%s is noted as protected, but not yet in force: %w", entry.Target, err))
	}
	out := control.ProtectResult{APIVersion: control.Version, Protected: entry, Lifted: []string{}}
	for _, p := range covering {
		out.Lifted = append(out.Lifted, showTarget(p))
	}
	return out, nil
}

// Unprotect implements control.Service.
func (f *Firewall) Unprotect(ctx context.Context, req control.UnprotectRequest) (control.UnprotectResult, error) {
	target, err := parseProtected(req.Target)
	if err != nil {
		return control.UnprotectResult{}, &control.Error{Code: control.BadRequest, Message: err.Error()}
	}
	out := control.UnprotectResult{APIVersion: control.Version, Target: showTarget(target)}
	if err := f.protected.remove(target); err != nil {
		return out, explain(f.whoElse(target, err))
	}
	if err := errors.Join(f.protectUsers(ctx), f.release(ctx)); err != nil {
		return out, explain(err)
	}
	if by, _, ok := f.bans.ProtectedBy(target); ok {
		out.Still = by
	}
	return out, nil
}

// whoElse adds to the error that the user does not protect a target who does, if anybody.
func (f *Firewall) whoElse(target netip.Prefix, err error) error {
	if !errors.Is(err, errNotProtected) {
		return err
	}
	for owner, list := range hostProtection() {
		for _, p := range list {
			if p.Overlaps(target) {
				return fmt.Errorf("%w; %s is protected by %s", err, showTarget(p), owner)
			}
		}
	}
	if by, p, ok := f.bans.ProtectedBy(target); ok {
		return fmt.Errorf("%w; %s is protected by %s", err, showTarget(p), by)
	}
	return err
}

// protectUsers puts the user's list in force.
func (f *Firewall) protectUsers(ctx context.Context) error {
	list, err := f.protected.prefixes()
	if err != nil {
		return err
	}
	return f.bans.Protect(ctx, protectUser, list)
}

// release gives up what was found protected in the kernel, but for what somebody has a claim to. A daemon has nothing of the kind.
func (f *Firewall) release(ctx context.Context) error {
	if len(f.bans.Protection()[ban.Kernel]) == 0 {
		return nil
	}
	lists := hostProtection()
	logins, err := session.Live()
	if err != nil {
		return err
	}
	for _, a := range logins {
		lists[protectLogin] = append(lists[protectLogin], host(a))
	}
	if lists[protectPolicy], err = f.protectedByPolicy(); err != nil {
		return err
	}
	for owner, list := range lists {
		if err := f.bans.Protect(ctx, owner, list); err != nil {
			return err
		}
	}
	return f.bans.Protect(ctx, ban.Kernel, nil)
}

// protectedByPolicy is what the policy of the generation in force protects.
func (f *Firewall) protectedByPolicy() ([]netip.Prefix, error) {
	s, err := f.generations.State()
	if err != nil || s.Current() == nil {
		return nil, err
	}
	g := s.Current()
	files, err := f.generations.Files(g.Number)
	if err != nil {
		return nil, err
	}
	p, err := loadBundle(control.ApplyRequest{Entry: g.Policy, Files: files}, Environment(f.log))
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Protected(), nil
}

// parseProtected reads what a user wants to protect.
func parseProtected(s string) (netip.Prefix, error) {
	p, err := parseTarget(s)
	switch {
	case err != nil:
		return p, err
	case p.Bits() == 0:
		return p, fmt.Errorf("%s is everybody: nobody could be banned any more", p)
	case p != p.Masked():
		return p, fmt.Errorf("%s has bits set after its prefix length; write %s, or %s for the address alone", p, p.Masked(), p.Addr())
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%s mixes IPv4-mapped with IPv6 addresses", p)
	}
	return p, nil
}
