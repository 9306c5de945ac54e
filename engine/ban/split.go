package ban

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"go4.org/netipx"
)

// maxParts is how many bans the ban of a prefix may be split into.
const maxParts = 256

// Split is the ban of a prefix without what is protected in it.
type Split struct {
	Bans []Ban          // made; parts that were banned for as long already are not among them
	But  []netip.Prefix // is protected, or was to be spared
}

// BanSplit bans what of a prefix is neither protected nor to be spared: all of that or nothing, each part with a ban of
// its own. UnbanWithin of the prefix lifts them. Errors are those of Ban, for the first part that has one.
func (b *Book) BanSplit(ctx context.Context, r Request, spare []netip.Prefix) (Split, error) {
	r, err := r.normal()
	if err != nil {
		return Split{}, err
	}
	parts, but, err := b.around(r.Target, spare)
	if err != nil {
		return Split{}, fmt.Errorf("ban %s: %w", show(r.Target), err)
	}
	requests := make([]Request, len(parts))
	for i, p := range parts {
		requests[i] = r
		requests[i].Target = p
	}
	out := Split{But: but}
	var made []decision
	var refused, duplicate error
	for _, d := range b.carryOut(ctx, requests, true) {
		switch {
		case d.err == nil:
			made = append(made, d)
		case errors.Is(d.err, ErrDuplicate):
			duplicate = d.err
		case refused == nil:
			refused = d.err
		}
	}
	if refused != nil {
		return Split{}, fmt.Errorf("ban %s: %w", show(r.Target), errors.Join(refused, b.takeBack(context.WithoutCancel(ctx), made)))
	}
	for _, d := range made {
		b.finish(d)
		out.Bans = append(out.Bans, b.made(d))
	}
	if len(made) == 0 {
		return out, fmt.Errorf("ban %s: %w", show(r.Target), duplicate)
	}
	return out, nil
}

// takeBack lifts bans that nobody has been told of.
func (b *Book) takeBack(ctx context.Context, made []decision) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lift []target
	for _, d := range made {
		lift = append(lift, d.put.target)
	}
	return b.lift(ctx, lift)
}

// around returns what of a prefix may be banned, and what may not.
func (b *Book) around(p netip.Prefix, spare []netip.Prefix) (parts, but []netip.Prefix, err error) {
	var may, not netipx.IPSetBuilder
	not.AddSet(b.guarded.Load().all)
	for _, s := range spare {
		not.AddPrefix(s)
	}
	whole, err := protectedSet([]netip.Prefix{p})
	if err != nil {
		return nil, nil, err
	}
	not.Intersect(whole)
	spared, err := not.IPSet()
	if err != nil {
		return nil, nil, err
	}
	may.AddPrefix(p)
	may.RemoveSet(spared)
	rest, err := may.IPSet()
	if err != nil {
		return nil, nil, err
	}
	parts, but = rest.Prefixes(), spared.Prefixes()
	switch {
	case len(parts) == 0:
		return nil, nil, fmt.Errorf("%s %w: all of it is", show(p), ErrProtected)
	case len(parts) > maxParts:
		return nil, nil, fmt.Errorf("%s %w in too many places: it would be split into %d parts, and %d are the most; ban parts of it", show(p), ErrProtected, len(parts), maxParts)
	}
	return parts, but, nil
}
