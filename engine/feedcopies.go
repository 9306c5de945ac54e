package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"

	"moonlatch/engine/blocklist"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
)

// fillWithCopies fills a policy's feeds where no daemon keeps them up to date: with the daemon's last good copies, or
// else with the files that they name. It returns the feeds that it leaves empty, and why.
func fillWithCopies(p *policy.Policy, state string) map[string]error {
	store, empty := feedStore(state), map[string]error{}
	p.FillFeeds(func(s blocklist.Spec) *ruleset.Addresses {
		l, err := store.AtHand(s)
		if err == nil {
			err = sparesAll(l, overlaps(p.Protected()))
		}
		if err != nil {
			empty[s.Name] = err
			return &ruleset.Addresses{}
		}
		return l.Addrs
	})
	return empty
}

// feedStore is where the copies of feeds are; nowhere without a state directory.
func feedStore(state string) *blocklist.Store {
	if state == "" {
		return blocklist.NewStore("")
	}
	return blocklist.NewStore(filepath.Join(state, feedDir))
}

func overlaps(protected []netip.Prefix) func(netip.Prefix) bool {
	return func(p netip.Prefix) bool { return slices.ContainsFunc(protected, p.Overlaps) }
}

// withFeeds are a stored generation's fills with what its feeds hold now, where that is known.
func withFeeds(fills []ruleset.Fill, now *ruleset.Ruleset) []ruleset.Fill {
	for _, f := range now.Fills() {
		if f.Feed {
			fills = slices.DeleteFunc(fills, func(old ruleset.Fill) bool { return old.Family == f.Family && old.Set == f.Set })
			fills = append(fills, f)
		}
	}
	return fills
}

// EmptyFeeds are the feeds that hold nothing, because there is no copy of them.
func (r *Rehearsal) EmptyFeeds() []string { return slices.Sorted(maps.Keys(r.feeds)) }

// Feed has a new list come for a feed, and be taken or refused as the daemon does.
func (r *Rehearsal) Feed(name string, entries []byte) error {
	i := slices.IndexFunc(r.policy.Feeds(), func(s blocklist.Spec) bool { return s.Name == name })
	l, err := blocklist.Parse(blocklist.Plain, entries, r.policy.Feeds()[i].Max)
	if err == nil {
		err = sparesAll(l, r.bans.Protects)
	}
	if err != nil {
		return fmt.Errorf("the feed %s refuses the list: %w", name, err)
	}
	delete(r.feeds, name)
	return swapIn(r.NFT, []string{r.table.Name}, name, l)
}

// FeedFindings looks at what a policy's feeds would hold. Warnings are of what would keep the daemon from taking a list;
// a note is of what nobody can know here.
func FeedFindings(p *policy.Policy, state string) (warnings []*ruleset.Error, notes []string) {
	store := feedStore(state)
	protects := overlaps(slices.Concat(p.Protected(), hostAddresses()))
	for _, s := range p.Feeds() {
		if s.File != "" {
			warnings = append(warnings, fileFindings(p, s, store, protects)...)
			continue
		}
		l, err := store.AtHand(s)
		if err == nil {
			err = sparesAll(l, protects)
		}
		switch {
		case errors.Is(err, blocklist.ErrNoCopy):
			notes = append(notes, fmt.Sprintf("%s: feed %q has no copy yet: it is empty until the daemon has fetched it", p.FeedAt(s.Name), s.Name))
		case errors.Is(err, fs.ErrPermission):
			notes = append(notes, fmt.Sprintf("%s: feed %q: what it holds is not known here: %v", p.FeedAt(s.Name), s.Name, err))
		case err != nil:
			warnings = append(warnings, ruleset.Errorf(p.FeedAt(s.Name), "feed %q is empty until it is fetched again: its copy: %v", s.Name, err))
		}
	}
	return warnings, notes
}

// fileFindings are those of a feed from a file, as that is now.
func fileFindings(p *policy.Policy, s blocklist.Spec, store *blocklist.Store, protects func(netip.Prefix) bool) (out []*ruleset.Error) {
	at := p.FeedAt(s.Name)
	content, err := s.Read()
	if err != nil {
		return append(out, ruleset.Errorf(at, "feed %q is empty until there is a list: %v", s.Name, err))
	}
	for _, err := range blocklist.Mistakes(s.Format, content, s.Max) {
		var bad *blocklist.LineError
		if errors.As(err, &bad) {
			out = append(out, ruleset.Errorf(ruleset.Pos{File: s.File, Line: bad.Line}, "%v: feed %q refuses the list", bad.Err, s.Name))
			continue
		}
		out = append(out, ruleset.Errorf(at, "feed %q refuses %s: %v", s.Name, s.File, err))
	}
	if len(out) > 0 {
		return out
	}
	l, err := blocklist.Parse(s.Format, content, s.Max)
	if err == nil {
		err = errors.Join(s.Follows(store.Last(s), l), sparesAll(l, protects))
	}
	if err != nil {
		out = append(out, ruleset.Errorf(at, "feed %q refuses %s: %v", s.Name, s.File, err))
	}
	return out
}
