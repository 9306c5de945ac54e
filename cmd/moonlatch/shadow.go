package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/netns"
)

func (a *app) shadowCommand() *cobra.Command {
	length := duration(10 * time.Minute)
	c := &cobra.Command{
		Use:   "shadow POLICY",
		Short: "Show whom another policy would ban of what comes in now, and ban nobody",
		Long: `Shadow hands the packets that the rules in force log, as the daemon gets them, to the
detectors and handlers of another policy, which runs in this command, in a private
namespace. Its rules are not loaded: streams of the same name are fed, and nothing else. It
ends after --for, or with Ctrl-C, with a report as that of replay.`,
		Example: `  moonlatch shadow --for 10m strict.lua`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.shadow(c.Context(), args[0], time.Duration(length))
		},
	}
	c.Flags().Var(&length, "for", "how long")
	return c
}

// fromTap stands for a capture that comes in by standard input, as it happens.
const fromTap = "-"

func (a *app) shadow(ctx context.Context, policy string, length time.Duration) error {
	p, _, err := engine.Load(policy, a.quietLog()) // before anything is listened to
	if err != nil {
		return err
	}
	p.Close()
	s, err := a.service(ctx)
	if err != nil {
		return err
	}
	if err := netns.Available(); err != nil {
		return &control.Error{Code: control.NotPermitted, Message: fmt.Sprintf("the policy runs in a private namespace: %v", err)}
	}
	own := slices.DeleteFunc(engine.OwnAddresses(), netip.Addr.IsLoopback)
	in, err := json.Marshal(replayRequest{Capture: fromTap, Policy: engine.Staged{Policy: policy, State: a.state}, Hosts: own})
	if err != nil {
		return err
	}
	cmd := netns.Privileged(context.WithoutCancel(ctx), "/proc/self/exe", replayInside, "-o", a.output, string(in)) // it ends when the packets do
	cmd.Stdout, cmd.Stderr = a.out, a.err
	to, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	begin := func() error { return cmd.Start() }
	dropped, err := s.Tap(ctx, length, &firstWrite{to: to, begin: begin})
	if cmd.Process == nil {
		return err
	}
	if ctx.Err() != nil {
		err = nil // by Ctrl-C, which is how to end it
	}
	err = errors.Join(err, to.Close(), inside(cmd.Wait()))
	if dropped > 0 {
		fmt.Fprintf(a.err, "moonlatch: %d packets came faster than the policy took them, and were left out\n", dropped)
	}
	return err
}

// inside is how a part of this program ended, which has said why.
func inside(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return ended{code: exit.ExitCode()}
	}
	return err
}

// firstWrite begins something when there is something to write.
type firstWrite struct {
	to    io.Writer
	begin func() error
}

// Write implements io.Writer.
func (f *firstWrite) Write(b []byte) (int, error) {
	if f.begin != nil {
		if err := f.begin(); err != nil {
			return 0, err
		}
		f.begin = nil
	}
	return f.to.Write(b)
}

// openCapture opens a capture; one that comes from a daemon ends with its input, and not with Ctrl-C.
func openCapture(path string) (*os.File, error) {
	if path == fromTap {
		signal.Ignore(os.Interrupt)
		return os.Stdin, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the capture cannot be read: %w", err)
	}
	return f, nil
}
