package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go4.org/netipx"

	"moonlatch/engine/control"
	"moonlatch/engine/generation"
	"moonlatch/engine/netns"
	"moonlatch/engine/nft"
	"moonlatch/engine/plan"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
)

// Plan is what applying a policy would change.
type Plan struct {
	APIVersion string              `json:"apiVersion"`
	Policy     string              `json:"policy"`
	Against    *control.Generation `json:"against"` // in force now; nil when everything passes
	Changes    []plan.Change       `json:"changes"`
	Drift      []plan.Change       `json:"drift"`          // what somebody else changed of what is in force: an apply undoes it
	Note       string              `json:"note,omitempty"` // why it could not be told whether there is drift
}

// PlanFor compares a policy with the generation in force, as it was applied, and that with what the kernel
// holds of it. It changes nothing. self is as for Check.
func PlanFor(ctx context.Context, state string, p *policy.Policy, req control.ApplyRequest, self ...string) (Plan, error) {
	out := Plan{APIVersion: control.Version, Policy: req.Entry, Changes: []plan.Change{}, Drift: []plan.Change{}}
	client, err := nft.Open(nft.Config{})
	if err != nil {
		return out, explain(err)
	}
	defer client.Close()
	g, err := generation.Open(generation.Config{NFT: client, Dir: state})
	if err != nil {
		return out, explain(err)
	}
	s, err := g.State()
	if err != nil {
		return out, explain(err)
	}
	from, now := plan.Parse("", nil), s.InForce()
	if stored, err := g.Stored(); err == nil && s.Confirmed == nil && s.Trial == nil {
		out.Note = fmt.Sprintf("generation %d is what the next boot restores, and the kernel does not hold it: there was a reset, or somebody removed it; moonlatch restore brings it back", stored.Number)
	}
	if now != nil {
		text, fills, err := g.Text(now.Number)
		if err != nil {
			return out, explain(fmt.Errorf("what is in force cannot be compared with: %w; moonlatch apply still works", err))
		}
		out.Against, from = describe(now), plan.Parse(text, fills)
		drift, err := applied{now.Number, ruleset.Tables(text), fills}.drift(ctx, client, self)
		if err != nil {
			out.Note = fmt.Sprintf("whether somebody changed what is in force cannot be told: %v", err)
		} else if drift != nil {
			out.Drift = drift
		}
	}
	also, err := alsoProtected(p, userList(state), keptNames(state))
	if err != nil {
		return out, explain(err)
	}
	rules, err := forThisHost(p, req, also)
	if err != nil {
		return out, explain(err)
	}
	if changes := plan.Compare(from, plan.Render(rules)); changes != nil {
		out.Changes = changes
	}
	return out, nil
}

// applied is a generation as it was given to the kernel.
type applied struct {
	number uint64
	text   ruleset.Tables
	fills  []ruleset.Fill
}

// drift is what somebody has changed of it since. It is loaded once more, in a private namespace, for nft to
// list both alike.
func (a applied) drift(ctx context.Context, client *nft.Client, self []string) ([]plan.Change, error) {
	if err := netns.Available(); err != nil {
		return nil, err
	}
	answer, err := inside(ctx, insideRequest{Script: string(a.text.WithoutLease()), Devices: hooked(a.text), List: true}, self)
	if err != nil {
		return nil, err
	}
	if answer.Failure != "" {
		return nil, fmt.Errorf("load it in a private namespace: %s", answer.Failure)
	}
	held, err := a.held(ctx, client)
	if err != nil {
		return nil, err
	}
	return plan.Drift(plan.Parse(answer.Listing, a.fills), held), nil
}

// held is what the kernel holds of it. What is large is listed apart: nft takes its time for it, and hundreds of MB.
func (a applied) held(ctx context.Context, client *nft.Client) (*plan.Listing, error) {
	table := ruleset.Table(a.number)
	var text strings.Builder
	list := func(arg ...string) error {
		out, err := client.Output(ctx, arg...)
		text.Write(out)
		return err
	}
	if len(a.fills) == 0 {
		err := a.eachFamily(func(family string) error { return list("--stateless", "list", "table", family, table) })
		return plan.Parse(text.String(), nil), err
	}
	err := a.eachFamily(func(family string) error { return list("--stateless", "--terse", "list", "table", family, table) })
	if err != nil {
		return nil, err
	}
	for _, command := range plan.Parse(text.String(), nil).ListSets(table, a.fills) {
		if err := list("--stateless", command); err != nil { // nft 1.0.6 takes one such command at a time
			return nil, err
		}
	}
	fills, err := a.filled(client)
	return plan.Parse(text.String(), fills), err
}

func (a applied) eachFamily(fn func(family string) error) error {
	for _, family := range a.text.Families() {
		if err := fn(string(family)); err != nil {
			return err
		}
	}
	return nil
}

// filled is what the kernel holds of the large sets, as far as they are there.
func (a applied) filled(client *nft.Client) ([]ruleset.Fill, error) {
	var out []ruleset.Fill
	for _, f := range a.fills {
		family, err := nft.ParseFamily(string(f.Family))
		if err != nil {
			return nil, err
		}
		elements, err := client.Elements(nft.Table{Family: family, Name: ruleset.Table(a.number)}, f.Set)
		if errors.Is(err, nft.ErrNotExist) {
			continue // which its table's listing tells
		} else if err != nil {
			return nil, err
		}
		b := ruleset.AddressesBuilder{Expected: len(elements)}
		for _, e := range elements {
			b.Add(netipx.RangeOfPrefix(e.Prefix))
		}
		out = append(out, ruleset.Fill{Family: f.Family, Set: f.Set, Addrs: b.Addresses()})
	}
	return out, nil
}

var deviceList = regexp.MustCompile(`\bdevices? (?:= \{ )?("[^"]*"(?:, "[^"]*")*)`)

// hooked lists the interfaces that must exist for the tables to load.
func hooked(text ruleset.Tables) []string {
	var out []string
	for _, m := range deviceList.FindAllStringSubmatch(string(text), -1) {
		for name := range strings.SplitSeq(m[1], ", ") {
			if name = strings.Trim(name, `"`); !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}
