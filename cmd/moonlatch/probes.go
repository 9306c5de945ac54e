package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"moonlatch/engine/policy"
	"moonlatch/engine/probe"
)

// probes is a flag that may be given more than once.
type probes []probe.Probe

func (p *probes) Set(text string) error {
	parsed, err := probe.Parse(text)
	if err != nil {
		return err
	}
	*p = append(*p, parsed)
	return nil
}

func (p *probes) String() string {
	texts := make([]string, len(*p))
	for i, one := range *p {
		texts[i] = one.String()
	}
	return strings.Join(texts, " ")
}

func (*probes) Type() string { return "probe" }

func completeProbes(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{"tcp:", "udp:", "dns:", "http://", "https://", "ping:"}, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// test is something that must work under a policy for it to be confirmed.
type test struct {
	name string
	run  func(context.Context) error
}

// tested is what came of a test.
type tested struct {
	Test   string `json:"test"`
	Passed bool   `json:"passed"`
	Tries  int    `json:"tries"`
	Error  string `json:"error,omitempty"` // of the last try
}

// tests lists what the flags want tested.
func (o *applyOptions) tests(p *policy.Policy) ([]test, error) {
	var out []test
	for _, one := range o.probes {
		out = append(out, test{"probe " + one.String(), one.Run})
	}
	switch {
	case !o.check:
		return out, nil
	case p.Watchdog().Check == nil:
		return nil, errors.New(`--confirm-by-check needs a check in the policy, such as fw.watchdog { check = function() return fw.probe.tcp("192.0.2.1:443") end }`)
	}
	return append(out, test{"the policy's check", p.Check}), nil
}

// A test may fail twice: right after an apply, answers to what was sent before
// it may still be under way, and a packet may be lost any time.
const (
	tries      = 3
	tryAgainIn = time.Second
)

// runTests runs the tests side by side, for as long as the trial lasts at most.
func runTests(ctx context.Context, tests []test, left float64) []tested {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(left*float64(time.Second)))
	defer cancel()
	out := make([]tested, len(tests))
	var all sync.WaitGroup
	for i, t := range tests {
		all.Go(func() { out[i] = t.try(ctx) })
	}
	all.Wait()
	return out
}

// try runs a test until it passes, or has failed too often.
func (t test) try(ctx context.Context) tested {
	out := tested{Test: t.name}
	for {
		err := t.run(ctx)
		out.Tries++
		if err == nil {
			out.Passed, out.Error = true, ""
			return out
		}
		out.Error = err.Error()
		if out.Tries == tries {
			return out
		}
		select {
		case <-ctx.Done():
			return out
		case <-time.After(tryAgainIn):
		}
	}
}

// failures describes the tests that failed.
func failures(all []tested) []string {
	var out []string
	for _, t := range all {
		if !t.Passed {
			out = append(out, fmt.Sprintf("%s failed: %s", t.Test, t.Error))
		}
	}
	return out
}

// passes says what so many tests do.
func passes(n int) string {
	if n == 1 {
		return "its test passes"
	}
	return fmt.Sprintf("its %d tests pass", n)
}

// passed tells which tests passed.
func (w *writer) passed(all []tested) {
	for _, t := range all {
		if t.Passed {
			w.linef("%s passed", t.Test)
		}
	}
}
