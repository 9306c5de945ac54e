package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"moonlatch/engine/blocklist"
	"moonlatch/engine/control"
	"moonlatch/engine/feed"
	"moonlatch/engine/generation"
	"moonlatch/engine/nft"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
)

// feedDir is where the copies of feeds are, in the state directory.
const feedDir = "feeds"

// fillFeeds fills the sets of a policy's feeds with the copies at hand: without the network, at once. One that
// covers what is protected is left empty.
func (f *Firewall) fillFeeds(p *policy.Policy, protected []netip.Prefix) {
	p.FillFeeds(func(s blocklist.Spec) *ruleset.Addresses {
		l, err := f.feeds.Load(s)
		if err == nil {
			err = sparesAll(l, func(q netip.Prefix) bool {
				return f.bans.Protects(q) || overlaps(protected)(q)
			})
		}
		if err != nil {
			f.log.Error("a feed is empty until it is fetched", "feed", s.Name, "error", err)
			return &ruleset.Addresses{}
		}
		return l.Addrs
	})
}

// sparesAll fails where a list covers what is protected.
func sparesAll(l blocklist.List, protects func(netip.Prefix) bool) error {
	for p := range l.Addrs.Prefixes() {
		if protects(p) {
			return fmt.Errorf("%s is, or holds, a protected address", p)
		}
	}
	return nil
}

// swapFeed puts a list in the place of what the kernel holds of it, in every generation that has it, in one transaction.
func (f *Firewall) swapFeed(_ context.Context, name string, l blocklist.List) error {
	err := f.trySwapFeed(name, l)
	if errors.Is(err, nft.ErrNotExist) { // a generation went meanwhile
		err = f.trySwapFeed(name, l)
	}
	if err != nil {
		return fmt.Errorf("fill the set of the feed %s: %w", name, err)
	}
	return nil
}

func (f *Firewall) trySwapFeed(name string, l blocklist.List) error {
	s, err := f.generations.State()
	if err != nil {
		return err
	}
	var tables []string
	for _, g := range []*generation.Generation{s.Confirmed, s.Trial} {
		if g != nil {
			tables = append(tables, ruleset.Table(g.Number))
		}
	}
	return swapIn(f.nft, tables, name, l)
}

// swapIn puts a list in the place of what a feed's sets hold, in the tables of these names of every family.
func swapIn(client *nft.Client, tables []string, name string, l blocklist.List) error {
	halves := map[string][]nft.Element{name + "4": nil, name + "6": nil}
	for p := range l.Addrs.Prefixes() {
		set := name + "6"
		if p.Addr().Is4() {
			set = name + "4"
		}
		halves[set] = append(halves[set], nft.Element{Prefix: p})
	}
	tx := client.Begin()
	for _, table := range tables {
		for _, family := range []nft.Family{nft.Inet, nft.Bridge, nft.ARP, nft.Netdev} {
			t := nft.Table{Family: family, Name: table}
			for set, elements := range halves {
				_, err := client.SetInfo(t, set)
				if errors.Is(err, nft.ErrNotExist) {
					continue
				}
				if err != nil {
					return err
				}
				tx.FlushSet(t, set)
				tx.AddElements(t, set, elements)
			}
		}
	}
	return tx.Commit()
}

// refusedFeed tells of a list that came and is not taken.
func (d *Daemon) refusedFeed(name string, why error) {
	d.tell(feed.Item{Kind: feed.KindList, Notice: &feed.Notice{By: name, Title: "the feed " + name + " is not updated: its last good copy stays in force", Text: why.Error()}})
}

// keepFeeds makes the feeds of the policies that are, or may soon be, in force those that are fetched.
func (d *Daemon) keepFeeds(all ...*runtime) {
	var specs []blocklist.Spec
	for _, rt := range all {
		if rt == nil {
			continue
		}
		for _, s := range rt.policy.Feeds() {
			if !slices.ContainsFunc(specs, func(other blocklist.Spec) bool { return other.Name == s.Name }) {
				specs = append(specs, s)
			}
		}
	}
	d.feedKeeper.Keep(specs)
}

// Feeds implements control.Service.
func (f *Firewall) Feeds(context.Context) (control.FeedList, error) {
	states, err := f.feeds.States()
	return tellFeeds(states), explain(err)
}

// Feeds implements control.Service: those of the running policy.
func (d *Daemon) Feeds(context.Context) (control.FeedList, error) {
	return tellFeeds(d.feedKeeper.States()), nil
}

func tellFeeds(states []blocklist.State) control.FeedList {
	out := control.FeedList{APIVersion: control.Version, Feeds: []control.Feed{}}
	for _, s := range states {
		out.Feeds = append(out.Feeds, control.Feed{
			Name: s.Name, Source: s.Source, Entries: s.Entries, Fetched: s.Fetched, Checked: s.Checked, Next: s.Next,
			Error: s.Error, Failures: s.Failures, Refused: s.Refused,
		})
	}
	return out
}

// RefreshFeeds implements control.Service.
func (*Firewall) RefreshFeeds(context.Context) (control.FeedList, error) {
	return control.FeedList{}, &control.Error{Code: control.Unreachable, Message: "feeds are fetched by the daemon, and none is running: start moonlatch run"}
}

// refreshTime bounds how long a caller waits for feeds.
const refreshTime = 5 * time.Minute

// RefreshFeeds implements control.Service.
func (d *Daemon) RefreshFeeds(ctx context.Context) (control.FeedList, error) {
	waiting, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	if err := d.feedKeeper.Refresh(waiting); err != nil {
		return control.FeedList{}, explain(fmt.Errorf("fetch the feeds: %w", err))
	}
	return d.Feeds(ctx)
}
