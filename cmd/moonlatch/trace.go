package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/lab"
	"moonlatch/engine/netns"
	"moonlatch/engine/policytest"
)

// traceFields are the flags of trace that say what the packet is like.
func traceFields() [][2]string {
	return [][2]string{
		{"src", "its source `address`"}, {"dst", "its destination `address`, default the host"},
		{"tcp", "its TCP destination `port`"}, {"udp", "its UDP destination `port`"}, {"sctp", "its SCTP destination `port`"},
		{"icmp", "its ICMP `type`, such as echo-request"}, {"proto", "any other `protocol`"},
		{"sport", "its source `port`, default 40000"}, {"flags", "its TCP `flags`, default syn"},
		{"iif", "the `interface` that it comes in by, default " + lab.Inside}, {"oif", "the `interface` that it leaves by if it is not for the host, default " + lab.Outside},
	}
}

func (a *app) traceCommand() *cobra.Command {
	var req engine.TraceRequest
	values, outgoing := map[string]*string{}, false
	c := &cobra.Command{
		Use:   "trace",
		Short: "Show which rules a packet meets, and which one decides",
		Long: `Trace sends a packet through the generation in force, or a policy, as the kernel has it in a
private namespace, and shows every chain and rule that it meets, in order, and what becomes
of it. The sets that packets fill are empty there, and limits are unused.`,
		Example: `  moonlatch trace --src 203.0.113.9 --tcp 22
  moonlatch trace --policy web.lua --src 2001:db8::7 --udp 53`,
		RunE: func(c *cobra.Command, _ []string) error {
			fields := map[string]string{}
			for name, v := range values {
				if c.Flags().Changed(name) {
					fields[name] = *v
				}
			}
			p, err := policytest.Packet(fields)
			if err != nil {
				return usageError{err, c.CommandPath()}
			}
			p.Output = outgoing
			req.Packet, req.State = p, a.state
			return a.trace(c.Context(), req)
		},
	}
	for _, f := range traceFields() {
		values[f[0]] = c.Flags().String(f[0], "", f[1])
	}
	c.Flags().BoolVar(&req.Established, "established", false, "it belongs to a connection that is established")
	c.Flags().BoolVar(&outgoing, "outgoing", false, "the host itself sends it")
	c.Flags().StringVar(&req.Policy, "policy", "", "trace through the policy in this `file`, not what is in force")
	return c
}

// traceInside is what trace runs in the private namespace.
const traceInside = "trace-inside"

func (a *app) traceInsideCommand() *cobra.Command {
	return &cobra.Command{
		Use:    traceInside,
		Hidden: true,
		Short:  "Trace the packet in standard input (used by trace, in a private namespace)",
		RunE: func(c *cobra.Command, _ []string) error {
			var req engine.TraceRequest
			if err := json.NewDecoder(os.Stdin).Decode(&req); err != nil {
				return err
			}
			traces, err := engine.TraceInside(c.Context(), req, a.quietLog())
			if err != nil {
				return err
			}
			return json.NewEncoder(a.out).Encode(traces)
		},
	}
}

func (a *app) trace(ctx context.Context, req engine.TraceRequest) error {
	traces, err := a.traces(ctx, req)
	if err != nil {
		return err
	}
	return a.print(traces[0], func(w *writer) { path{a.colours()}.write(w, traces[0]) })
}

// traces has packets sent in a private namespace: one, or one to each of the request's ports.
func (a *app) traces(ctx context.Context, req engine.TraceRequest) ([]engine.Trace, error) {
	if err := engine.TraceInForce(&req); err != nil {
		return nil, err
	}
	if err := netns.Available(); err != nil {
		return nil, &control.Error{Code: control.NotPermitted, Message: fmt.Sprintf("packets are tried in a private namespace: %v", err)}
	}
	in, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	cmd := netns.Privileged(ctx, "/proc/self/exe", traceInside, "-o", a.output)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), a.err
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok && exit.Exited() {
		return nil, ended{code: exit.ExitCode()}
	}
	if err != nil {
		return nil, fmt.Errorf("trace in a private namespace: %w", err)
	}
	var all []engine.Trace
	if err := json.Unmarshal(out, &all); err != nil || len(all) == 0 {
		return nil, fmt.Errorf("trace in a private namespace: %q is no answer: %w", out, err)
	}
	return all, nil
}

// path shows a packet's way to people.
type path struct{ colours bool }

func (p path) write(w *writer, t engine.Trace) {
	through := t.Policy
	if t.Generation != nil {
		through = "generation " + generation(t.Generation)
	}
	w.linef("%s", t.Packet)
	w.linef("through %s", through)
	chain := ""
	for _, v := range t.Visits {
		if at := v.Table + " " + v.Chain; at != chain {
			chain = at
			name := "chain " + v.Chain
			if v.Hook != "" {
				name = v.Hook + ", " + name
			}
			w.linef("%s  (%s)", name, v.Table)
		}
		p.visit(w, v)
	}
	verdict := p.paint(verdictColour(t.Verdict), string(t.Verdict))
	w.linef("%s%s", verdict, because(t))
	if t.NAT != "" {
		w.linef("it came through as %s", t.NAT)
	}
}

// visit shows a rule: dimmed where it did not match.
func (p path) visit(w *writer, v engine.TraceVisit) {
	name, place := v.Rule, ""
	if name != "" {
		name += ": "
	}
	if v.Place != "" {
		place = "  (" + v.Place + ")"
	}
	switch {
	case v.Policy:
		w.linef("  > its policy: %s%s", v.Verdict, place)
	case v.Matched:
		w.linef("  > %s%s%s", name, v.Text, place)
	default:
		w.linef("%s%s", p.paint(dim, "    "+name+v.Text+place), reasons(v.Compared))
	}
}

// reasons tells why a rule did not match.
func reasons(compared []lab.Comparison) string {
	var out []string
	for _, c := range lab.Reasons(compared) {
		has := c.Has
		if has == "" {
			has = "none"
		}
		out = append(out, c.Key+" is "+has)
	}
	if out == nil {
		return ""
	}
	return "  <- " + strings.Join(out, ", ")
}

// because ends the line of the verdict.
func because(t engine.Trace) string {
	switch {
	case t.Verdict == lab.Lost:
		return ": no rule dropped it, but the kernel did (no route, or not a possible sender)"
	case t.Rule == "":
		return ": no chain of the policy sees it"
	case t.Rule == lab.ByPolicy:
		return fmt.Sprintf(" by the policy of chain %s%s", t.Chain, at(t.Place))
	case t.Rule == lab.ByBan && t.Why != "":
		return ": banned as " + t.Why
	}
	return fmt.Sprintf(" by %q of chain %s%s", t.Rule, authored(t.Chain), at(t.Place))
}

// authored is the policy's chain of a rule for which the kernel has a chain of its own, such as rule.input.closed.
func authored(chain string) string {
	if parts := strings.SplitN(chain, ".", 3); len(parts) == 3 {
		return parts[1]
	}
	return chain
}

func at(place string) string {
	if place == "" {
		return ""
	}
	return ", at " + place
}

// The codes of terminals (ECMA-48, SGR).
const (
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func verdictColour(v lab.Verdict) string {
	switch v {
	case lab.Accept:
		return green
	case lab.Drop, lab.Reject:
		return red
	}
	return yellow
}

func (p path) paint(code, text string) string {
	if !p.colours {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
