package generation

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// inherit puts into the sets of generation n that are kept what those of their names hold in the
// generation that filters now, with what is left of their times. The notes say what could not be
// taken over. Nothing else relies on these sets yet, since n is not armed.
func (c *change) inherit(n uint64, kept []ruleset.Kept) (notes []string, err error) {
	from := c.current()
	if from == nil {
		return nil, nil
	}
	for _, k := range kept {
		family, err := nft.ParseFamily(string(k.Family))
		if err != nil {
			return notes, err
		}
		old := nft.Table{Family: family, Name: ruleset.Table(from.number)}
		elements, note, err := c.content(old, k)
		if note != "" {
			notes = append(notes, fmt.Sprintf("generation %d: kept set %s: %s", n, k.Set, note))
		}
		if err == nil && len(elements) > 0 {
			_, err = c.nft.Load(nft.Table{Family: family, Name: ruleset.Table(n)}, k.Set, slices.Values(elements))
		}
		if err != nil {
			return notes, fmt.Errorf("take over the content of set %s from generation %d: %w; nothing was changed", k.Set, from.number, err)
		}
	}
	return notes, nil
}

// current is the generation whose turn it is to filter, or nil.
func (s *snapshot) current() *held {
	switch {
	case s.trial != nil && !s.trial.expired():
		return s.trial
	case s.confirmed != nil && !s.confirmed.aside():
		return s.confirmed
	}
	return nil
}

// content is what a set of an earlier generation holds, as elements for the one that takes it over.
func (c *change) content(t nft.Table, k ruleset.Kept) (out []nft.Element, note string, err error) {
	info, err := c.nft.SetInfo(t, k.Set)
	switch {
	case errors.Is(err, nft.ErrNotExist):
		return nil, "", nil // it is new
	case err != nil:
		return nil, "", err
	case info.Interval || !info.HasTimeout:
		return nil, "it was filled by the policy before, so it starts empty", nil
	case info.Count > ruleset.MaxKept:
		return nil, fmt.Sprintf("it holds %d addresses, more than the %d that can be taken over, so it starts empty", info.Count, ruleset.MaxKept), nil
	}
	all, err := c.nft.Elements(t, k.Set)
	if errors.Is(err, nft.ErrInterrupted) {
		note, err = "it was changing all the while, so some of its content may be missing", nil
	}
	if err != nil {
		return nil, "", err
	}
	if len(all) > k.Size {
		slices.SortFunc(all, func(a, b nft.Element) int { return cmp.Compare(lasting(b), lasting(a)) })
		note = fmt.Sprintf("it held %d addresses, and the new one has room for %d: those that would have stayed longest are taken over", len(all), k.Size)
		all = all[:k.Size]
	}
	for _, e := range all {
		out = append(out, nft.Element{Prefix: e.Prefix, Timeout: e.Expires, Comment: e.Comment})
	}
	return out, note, nil
}

// lasting is how long an element stays, for comparisons.
func lasting(e nft.Element) time.Duration {
	if e.Expires == 0 {
		return 1<<63 - 1
	}
	return e.Expires
}
