package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/control"
	"moonlatch/engine/feed"
	"moonlatch/engine/ruleset"
)

// FindBans implements control.Service.
func (f *Firewall) FindBans(ctx context.Context, req control.BanFilter) (control.FoundBans, error) {
	out := control.FoundBans{APIVersion: control.Version, Bans: []control.Ban{}}
	order, err := banOrder(req.Sort)
	if err != nil {
		return out, &control.Error{Code: control.BadRequest, Message: err.Error()}
	}
	want, err := wantedBans(req, time.Now())
	if err != nil {
		return out, &control.Error{Code: control.BadRequest, Message: err.Error()}
	}
	all, err := f.listBans(ctx)
	if err != nil {
		return out, explain(err)
	}
	all = slices.DeleteFunc(all, func(b ban.Ban) bool { return !want(b) })
	slices.SortStableFunc(all, order)
	out.Matching = len(all)
	if req.Limit > 0 {
		all = all[:min(req.Limit, len(all))]
	}
	for _, b := range all {
		out.Bans = append(out.Bans, f.tellBan(b))
	}
	return out, nil
}

// wantedBans is the filter as a function.
func wantedBans(req control.BanFilter, now time.Time) (func(ban.Ban) bool, error) {
	var within netip.Prefix
	if req.Within != "" {
		var err error
		if within, err = parseTarget(req.Within); err != nil {
			return nil, err
		}
		if within != within.Masked() {
			return nil, fmt.Errorf("%s has bits set after its prefix length: write %s", within, within.Masked())
		}
	}
	if o := ban.Origin(req.Origin); o != "" && o != ban.Local && o != ban.Manual {
		return nil, fmt.Errorf("the origin %q is not known: it is %q or %q", req.Origin, ban.Local, ban.Manual)
	}
	why := strings.ToLower(req.Why)
	return func(b ban.Ban) bool {
		age, left := now.Sub(b.Since), b.Until.Sub(now)
		endless := b.Until.IsZero()
		return (req.By == "" || b.By == req.By) &&
			(why == "" || strings.Contains(strings.ToLower(b.Why), why)) &&
			(req.Origin == "" || string(b.Origin) == req.Origin) &&
			(!within.IsValid() || within.Overlaps(b.Target) && (within.IsSingleIP() || within.Bits() <= b.Target.Bits())) &&
			(req.Older == 0 || age > req.Older) && (req.Younger == 0 || age < req.Younger) &&
			(req.Longer == 0 || endless || left > req.Longer) && (req.Shorter == 0 || !endless && left < req.Shorter)
	}, nil
}

// banOrder compares bans by what they are to be sorted by.
func banOrder(name string) (func(x, y ban.Ban) int, error) {
	name, backwards := strings.CutPrefix(name, "-")
	var order func(x, y ban.Ban) int
	switch name {
	case "", "left":
		order = func(x, y ban.Ban) int {
			if x.Until.IsZero() != y.Until.IsZero() { // one that does not end comes last
				return cmp.Compare(y.Until.Unix(), x.Until.Unix())
			}
			return x.Until.Compare(y.Until)
		}
	case "age":
		order = func(x, y ban.Ban) int { return y.Since.Compare(x.Since) }
	case "address":
		order = func(x, y ban.Ban) int { return x.Target.Compare(y.Target) }
	case "by":
		order = func(x, y ban.Ban) int { return cmp.Compare(x.By, y.By) }
	case "why":
		order = func(x, y ban.Ban) int { return cmp.Compare(x.Why, y.Why) }
	default:
		return nil, fmt.Errorf("bans cannot be sorted by %q: by %s%s", name, strings.Join(control.BanOrders(), ", "), ruleset.Suggest(name, control.BanOrders()))
	}
	if backwards {
		return func(x, y ban.Ban) int { return order(y, x) }, nil
	}
	return order, nil
}

// maxLike bounds how many targets are offered for completion.
const maxLike = 500

// BannedLike implements control.Service.
func (f *Firewall) BannedLike(_ context.Context, req control.LikeRequest) ([]string, error) {
	out := f.bans.Like(req.Prefix, min(max(req.Limit, 0), maxLike))
	slices.Sort(out)
	return append([]string{}, out...), nil
}

// unbanBy lifts what somebody banned. What the traps did is theirs too.
func (f *Firewall) unbanBy(ctx context.Context, by string) (control.UnbanResult, error) {
	out := control.UnbanResult{APIVersion: control.Version}
	var err error
	if out.Lifted, err = f.bans.UnbanBy(ctx, by); err != nil {
		return out, explain(err)
	}
	if by == trapAuthor {
		err = f.untrap(netip.Prefix{})
	}
	return out, explain(err)
}

// Import implements control.Service.
func (f *Firewall) Import(ctx context.Context, req control.ImportRequest) (control.ImportResult, error) {
	out := control.ImportResult{APIVersion: control.Version, Refused: []control.RefusedBan{}}
	start := time.Now()
	var bans []ban.Ban
	var lines []int
	var bad []error
	for b := range req.Bans {
		target, err := parseTarget(b.Target)
		if err != nil {
			bad = append(bad, fmt.Errorf("line %d: %w", b.Line, err))
		}
		bans = append(bans, ban.Ban{Target: target, Since: b.Since, Until: b.Until, By: b.By, Why: b.Why, Origin: ban.Origin(b.Origin)})
		lines = append(lines, b.Line)
	}
	if len(bad) > 0 {
		return out, &control.Error{Code: control.BadRequest, Message: errors.Join(bad...).Error() + "; nothing was imported"}
	}
	done, err := f.bans.Import(ctx, bans, ban.ImportOptions{
		KeepGoing: req.KeepGoing, DryRun: req.DryRun, Spare: hostAddresses(), Progress: req.Progress,
	})
	if err != nil {
		return out, explain(err)
	}
	out.Booked, out.Duplicates, out.Took = done.Booked, done.Duplicates, time.Since(start)
	for _, r := range done.Refused {
		out.Refused = append(out.Refused, control.RefusedBan{Line: lines[r.Index], Why: r.Err.Error()})
	}
	if done.Booked > 0 {
		f.log.Info("bans imported", "bans", done.Booked, "took", out.Took.Round(time.Millisecond))
		title := fmt.Sprintf("%d bans imported", done.Booked)
		if req.From != "" {
			title += " from " + shorten(req.From)
		}
		f.publish(feed.Item{Kind: feed.KindNotice, Notice: &feed.Notice{By: req.By, Title: title}})
	}
	return out, nil
}
