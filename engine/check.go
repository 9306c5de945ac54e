package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/vishvananda/netlink"

	"moonlatch/engine/control"
	"moonlatch/engine/netns"
	"moonlatch/engine/nft"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
)

// Check loads a policy's ruleset into the kernel for real, in a private user and
// network namespace that is gone afterwards: nft's own check accepts what the
// kernel then refuses. It needs no privileges. self is how to run this program
// again such that it calls CheckInside.
func Check(ctx context.Context, p *policy.Policy, self ...string) error {
	if err := netns.Available(); err != nil {
		return &control.Error{Code: control.NotPermitted, Message: fmt.Sprintf("the policy cannot be checked in a private namespace: %v", err)}
	}
	script := p.Ruleset().Render(ruleset.Options{Generation: 1, Trial: true})
	answer, err := inside(ctx, insideRequest{Script: script.String(), Devices: devices(p.Ruleset())}, self)
	if err != nil {
		return explain(err)
	}
	return answer.blame(script)
}

// inside has a ruleset loaded in a private namespace.
func inside(ctx context.Context, req insideRequest, self []string) (answer insideAnswer, err error) {
	in, err := json.Marshal(req)
	if err != nil {
		return answer, err
	}
	cmd := netns.Privileged(ctx, self[0], self[1:]...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return answer, fmt.Errorf("load in a private namespace: %w", err)
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return answer, fmt.Errorf("load in a private namespace: %w", err)
	}
	return answer, nil
}

// insideRequest is what the process in the private namespace is asked to load.
type insideRequest struct {
	Script  string
	Devices []string // interfaces that must be there for the script to load
	List    bool     // answer with nft's listing of what was loaded
}

// insideAnswer is how it went.
type insideAnswer struct {
	Lines   []nft.ScriptLine
	Failure string
	TooBig  bool // for a namespace without root's power over it
	NoNFT   bool // the nft command is missing
	Listing string
}

// blame shows complaints about the generated text where the policy has to be mended.
func (a insideAnswer) blame(script *ruleset.Script) error {
	var errs []error
	for _, l := range a.Lines {
		if refused := script.Refused(l.Line, l.Message); refused != nil {
			errs = append(errs, refused)
		}
	}
	if len(errs) > 0 {
		return badPolicy(errors.Join(errs...))
	}
	if a.TooBig {
		return &control.Error{Code: control.NotPermitted, Message: "the ruleset is larger than the kernel takes from an ordinary user (net.core.wmem_max): check it as root, still in a private namespace"}
	}
	if a.NoNFT {
		return &control.Error{Code: control.Failed, Message: "the policy could not be tried: " + a.Failure}
	}
	if a.Failure != "" {
		return badPolicy(fmt.Errorf("the kernel refuses the ruleset: %s", a.Failure))
	}
	return nil
}

// CheckInside is Check's other half, in the private namespace: it reads the
// request from in and writes the answer to out.
func CheckInside(ctx context.Context, in io.Reader, out io.Writer) error {
	var req insideRequest
	if err := json.NewDecoder(in).Decode(&req); err != nil {
		return err
	}
	for _, name := range req.Devices {
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "peer" + fmt.Sprint(slices.Index(req.Devices, name))}
		if err := netlink.LinkAdd(link); err != nil {
			return fmt.Errorf("make the interface %q that the policy names: %w", name, err)
		}
	}
	client, err := nft.Open(nft.Config{})
	if err != nil {
		return err
	}
	defer client.Close()
	answer := answerOf(client.RunInParts(ctx, []byte(req.Script)))
	if req.List && answer.Failure == "" {
		listing, err := client.Output(ctx, "--stateless", "list", "ruleset")
		if err != nil {
			return err
		}
		answer.Listing = string(listing)
	}
	return json.NewEncoder(out).Encode(answer)
}

// answerOf is how a load went that ended with err.
func answerOf(err error) (a insideAnswer) {
	if err != nil {
		a.Failure, a.TooBig, a.NoNFT = err.Error(), errors.Is(err, nft.ErrTooBig), errors.Is(err, nft.ErrNoBinary)
		var se *nft.ScriptError
		if errors.As(err, &se) {
			a.Lines = se.Lines
		}
	}
	return a
}

// devices lists the interfaces that must exist for the ruleset to load.
func devices(r *ruleset.Ruleset) []string {
	var out []string
	for _, c := range r.Chains {
		if c.Device != "" && !slices.Contains(out, c.Device) {
			out = append(out, c.Device)
		}
	}
	return out
}
