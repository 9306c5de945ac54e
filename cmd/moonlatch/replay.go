package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/capture"
	"moonlatch/engine/control"
	"moonlatch/engine/replay"
)

// replayRequest is what replay hands to the private namespace.
type replayRequest struct {
	Capture string
	Policy  engine.Staged
	Against *engine.Staged
	Hosts   []netip.Addr // as the user named them
	Own     []netip.Addr // this machine's
	Iif     string
	Logged  string
	Pace    bool
}

func (a *app) replayCommand() *cobra.Command {
	var req replayRequest
	var hosts []string
	var against string
	c := &cobra.Command{
		Use:   "replay CAPTURE [POLICY]",
		Short: "Show whom a policy would have banned in a packet capture",
		Long: `Replay sends the packets of a capture (pcap or pcapng) through a policy, by default the one
in force, as the kernel has it in a private namespace. What its rules log goes to its
detectors and handlers, by the capture's own clock. Nothing of this machine changes. See
docs/testing.md.

It ends with exit code 6 where --against finds differences, and with 1 where the capture
could not be read to its end.`,
		Example: `  moonlatch replay capture.pcap web.lua
  moonlatch replay capture.pcap web.lua --against strict.lua`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if req.Hosts, err = parseHosts(hosts); err != nil {
				return usageError{err, c.CommandPath()}
			}
			req.Capture = args[0]
			if req.Policy = (engine.Staged{State: a.state}); len(args) == 2 {
				req.Policy.Policy = args[1]
			} else if req.Policy, err = engine.InForce(a.state); err != nil {
				return err
			}
			if against != "" {
				req.Against = &engine.Staged{Policy: against, State: a.state}
			}
			return a.replay(c.Context(), req)
		},
	}
	c.Flags().StringArrayVar(&hosts, "host", nil, "an `address` of the host that captured; may be given more than once. Default: what the capture tells")
	c.Flags().StringVar(&req.Iif, "iif", "", "the host's `interface` that all packets came in by or left by. Default: what the capture tells, or eth0")
	c.Flags().StringVar(&against, "against", "", "compare with the policy in this `file`")
	c.Flags().StringVar(&req.Logged, "logged", "", "the rules have logged all packets already, to this `stream`")
	c.Flags().BoolVar(&req.Pace, "pace", false, "no faster than the packets came, for policies with limits")
	return c
}

func parseHosts(texts []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, s := range texts {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("--host %q is no address: write it as 192.0.2.1 or 2001:db8::1", s)
		}
		out = append(out, a.Unmap().WithZone(""))
	}
	return out, nil
}

// replay looks at what can be wrong out here, and plays the capture in a private namespace.
func (a *app) replay(ctx context.Context, req replayRequest) error {
	f, err := os.Open(req.Capture)
	if err != nil {
		return fmt.Errorf("the capture cannot be read: %w", err)
	}
	f.Close()
	req.Own = engine.OwnAddresses()
	in, err := json.Marshal(req)
	if err != nil {
		return err
	}
	return a.enclosed(ctx, replayInside, "-o", a.output, string(in))
}

// replayInside is what replay runs in the private namespace.
const replayInside = "replay-inside"

func (a *app) replayInsideCommand() *cobra.Command {
	return &cobra.Command{
		Use:    replayInside + " REQUEST",
		Hidden: true,
		Short:  "Play a capture (used by replay, in a private namespace)",
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var req replayRequest
			if err := json.Unmarshal([]byte(args[0]), &req); err != nil {
				return err
			}
			return a.playCapture(c.Context(), req)
		},
	}
}

func (a *app) playCapture(ctx context.Context, req replayRequest) error {
	f, err := openCapture(req.Capture)
	if err != nil {
		return err
	}
	defer f.Close()
	o := replay.Options{Policy: req.Policy, Against: req.Against, Iif: req.Iif, Logged: req.Logged, Pace: req.Pace}
	o.Hosts = replay.Hosts{Addresses: req.Hosts, By: "--host"}
	switch {
	case req.Capture == fromTap:
		o.Hosts.By = "this machine's addresses"
		ctx = context.WithoutCancel(ctx)
	case len(req.Hosts) == 0:
		if o.Hosts, err = replay.FindHosts(f, req.Own); err != nil {
			return unreadable(req.Capture, err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("%s: %w; a pipe needs --host", req.Capture, err)
		}
	}
	in, bar, size := &countingReader{Reader: f}, a.newProgress(), 0
	if info, err := f.Stat(); err == nil {
		size = int(info.Size())
	}
	start := time.Now()
	o.Capture = in
	o.Progress = func(packets int, at time.Time) {
		bar.show(fmt.Sprintf("%d packets, %.0f/s, at %s; bytes", packets, float64(packets)/time.Since(start).Seconds(), at.Local().Format(time.DateTime)), in.read, size)
	}
	r, err := replay.Run(ctx, o, a.quietLog())
	bar.end()
	if req.Capture == fromTap {
		req.Capture = "what came in"
	}
	if err != nil {
		return unreadable(req.Capture, err)
	}
	if err := a.print(r, func(w *writer) { w.replayed(req.Capture, r) }); err != nil {
		return err
	}
	switch {
	case r.Trouble != "":
		return fmt.Errorf("%s: %s; what came before it has been played", req.Capture, r.Trouble)
	case r.Differences.Any():
		return differences{}
	}
	return nil
}

// countingReader knows how much of it has been read.
type countingReader struct {
	io.Reader
	read int
}

// Read implements io.Reader.
func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.read += n
	return n, err
}

// unreadable names the capture in what is wrong with it; a policy's mistake is the policy's.
func unreadable(path string, err error) error {
	var told *control.Error
	if errors.As(err, &told) {
		return told
	}
	if errors.Is(err, capture.ErrEmpty) || errors.Is(err, capture.ErrFormat) || errors.Is(err, capture.ErrLink) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return err
}
