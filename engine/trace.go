package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/control"
	"moonlatch/engine/lab"
	"moonlatch/engine/nft"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
)

// TraceRequest asks what becomes of a packet.
type TraceRequest struct {
	Packet      lab.Packet
	Established bool     // it belongs to a connection that is established
	Local       bool     // Packet.Dst is one of the host's own addresses
	Ports       []uint16 // send one packet to each of these instead of to Packet's
	Policy      string   // the file of a policy; "" for the generation in force
	State       string   // the state directory

	// What TraceInForce finds out about this host.
	Generation *control.Generation
	Ban        *ban.Ban // of the packet's source
	Protected  bool     // its source is
}

// Trace is what becomes of a packet, and why.
type Trace struct {
	APIVersion string              `json:"apiVersion"`
	Packet     string              `json:"packet"`
	Policy     string              `json:"policy"`
	Generation *control.Generation `json:"generation,omitempty"` // nil for a policy's file
	Verdict    lab.Verdict         `json:"verdict"`
	Chain      string              `json:"chain,omitempty"`
	Rule       string              `json:"rule,omitempty"`
	Place      string              `json:"place,omitempty"`
	Why        string              `json:"why,omitempty"` // of a ban
	NAT        string              `json:"nat,omitempty"` // its addresses when it came through, if they changed
	Visits     []TraceVisit        `json:"visits"`
}

// TraceVisit is one rule that was asked, or the policy of a chain, in order.
type TraceVisit struct {
	Table   string `json:"table"`
	Chain   string `json:"chain"`
	Hook    string `json:"hook,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Text    string `json:"text,omitempty"`
	Place   string `json:"place,omitempty"`
	Matched bool   `json:"matched"`
	Verdict string `json:"verdict,omitempty"`
	Policy  bool   `json:"chainPolicy,omitempty"`

	Compared []lab.Comparison `json:"compared,omitempty"`
}

// TraceInForce completes a request with what is in force on this host, and changes nothing here.
func TraceInForce(req *TraceRequest) error {
	req.Local = slices.Contains(addresses(), req.Packet.Dst)
	if req.Policy != "" {
		return nil
	}
	client, err := nft.Open(nft.Config{})
	if err != nil {
		return explain(err)
	}
	defer client.Close()
	if req.Generation, err = inForce(client, req.State); err != nil {
		return explain(err)
	}
	if src := req.Packet.Src; src.IsValid() {
		found, banned, err := ban.Find(client, src)
		if err != nil {
			return explain(err)
		}
		if banned {
			req.Ban = &found
		}
		if req.Protected, err = ban.Protected(client, src); err != nil {
			return explain(err)
		}
	}
	return nil
}

// TraceInside is the other half of it, in a private namespace: it sends the packet, or those to several ports.
func TraceInside(ctx context.Context, req TraceRequest, log *slog.Logger) (out []Trace, err error) {
	err = lab.Run(ctx, func(l *lab.Lab) error {
		r, err := Staged{req.Policy, req.Generation, req.State}.rehearse(ctx, l, setting{}, log)
		if err != nil {
			return err
		}
		defer r.Close()
		if err := r.reproduce(ctx, req); err != nil {
			return err
		}
		ports := req.Ports
		if len(ports) == 0 {
			ports = []uint16{req.Packet.Dport}
		}
		for _, req.Packet.Dport = range ports {
			result, err := r.send(ctx, req)
			if err != nil {
				return err
			}
			out = append(out, r.explain(result, req))
		}
		return nil
	})
	return out, explain(err)
}

// reproduce gives the lab's host what matters of the real one.
func (r *Rehearsal) reproduce(ctx context.Context, req TraceRequest) error {
	if req.Local {
		if err := r.AddAddress(req.Packet.Dst); err != nil {
			return err
		}
	}
	if req.Protected {
		return r.bans.Protect(ctx, protectSession, []netip.Prefix{host(req.Packet.Src)})
	}
	if b := req.Ban; b != nil {
		left := ban.MaxTime
		if !b.Until.IsZero() {
			left = max(time.Until(b.Until), time.Minute)
		}
		_, err := r.bans.Ban(ctx, ban.Request{Target: b.Target, Times: []time.Duration{left}, Why: b.Why, By: b.By, Origin: ban.Manual})
		return err
	}
	return nil
}

// send sends the packet, in the connection that it belongs to.
func (r *Rehearsal) send(ctx context.Context, req TraceRequest) (*lab.Result, error) {
	if !req.Established {
		return r.Send(ctx, req.Packet)
	}
	first, err := r.Connect(ctx, req.Packet)
	if err != nil || first.Verdict != lab.Accept {
		return first, err
	}
	return r.Lab.Send(ctx, req.Packet.Following())
}

// explain says what became of the packet, with the places in the policy.
func (r *Rehearsal) explain(result *lab.Result, req TraceRequest) Trace {
	places := placesOf(r.policy)
	out := Trace{
		APIVersion: control.Version, Packet: result.Packet.String(), Policy: r.policy.Ruleset().Policy, Generation: req.Generation,
		Verdict: result.Verdict, Chain: result.Chain, Rule: result.Rule, Place: places.of(result.Chain, result.Rule), Visits: []TraceVisit{},
	}
	if result.Rule == lab.ByBan && req.Ban != nil {
		out.Why = fmt.Sprintf("%s, by %s: %s", showTarget(req.Ban.Target), req.Ban.By, req.Ban.Why)
	}
	out.NAT = result.NAT()
	for _, v := range result.Visits {
		by := v.Rule.Name
		if v.Policy {
			by = lab.ByPolicy
		}
		out.Visits = append(out.Visits, TraceVisit{
			Table: v.Family + " " + v.Table, Chain: v.Chain, Hook: v.Hook, Rule: v.Rule.Name, Text: v.Rule.Text,
			Place: places.of(v.Chain, by), Matched: v.Matched, Verdict: v.Verdict, Policy: v.Policy, Compared: v.Compared,
		})
	}
	return out
}

// places are where a policy's rules stand, by chain and name.
type places map[[2]string]ruleset.Pos

func placesOf(p *policy.Policy) places {
	out := places{}
	for _, c := range p.Ruleset().Chains {
		out[[2]string{c.Name, lab.ByPolicy}] = c.Pos
		for _, r := range c.Rules {
			out[[2]string{c.Name, r.Name}] = r.Pos
		}
	}
	return out
}

// of is the place of a rule; one in a chain that another rule needs is at that one's.
func (p places) of(chain, rule string) string {
	if branch := strings.SplitN(chain, ".", 3); len(branch) == 3 {
		chain = branch[1]
	}
	if pos, ok := p[[2]string{chain, rule}]; ok {
		return pos.String()
	}
	return ""
}
