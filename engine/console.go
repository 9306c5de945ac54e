package engine

import (
	"context"
	"errors"
	"time"

	"moonlatch/engine/control"
	"moonlatch/engine/policy"
)

// consolePatience is how long a console waits for its turn among the callbacks.
const consolePatience = 10 * time.Second

// Console implements control.Service: without a daemon, no policy runs.
func (f *Firewall) Console(context.Context, control.ConsoleRequest) (control.ConsoleResult, error) {
	return control.ConsoleResult{}, &control.Error{Code: control.Unreachable, Message: "no daemon is running, and so no policy: start moonlatch run, or name a policy's file to try it by itself, moonlatch console FILE"}
}

// Console implements control.Service. It is evaluated on the goroutine that calls Lua,
// within the bounds of a callback: no detection and no ban waits for it.
func (d *Daemon) Console(ctx context.Context, req control.ConsoleRequest) (out control.ConsoleResult, err error) {
	if req.Write && !req.Complete {
		d.log.Warn("console may change things", "by", req.By, "source", brief(req.Source))
	}
	ctx, cancel := context.WithTimeout(ctx, consolePatience)
	defer cancel()
	err = d.caller.do(ctx, func(rt *runtime) {
		if rt != nil {
			out = Evaluate(rt.policy, req)
			out.Generation = rt.generation
		}
	})
	switch {
	case err != nil:
		return out, explain(err)
	case out.Policy == "":
		return out, &control.Error{Code: control.Failed, Message: "no policy is in force, so there is nothing to look at: moonlatch apply puts one in force, and moonlatch console FILE tries one by itself"}
	}
	return out, nil
}

// Evaluate is Console on a loaded policy.
func Evaluate(p *policy.Policy, req control.ConsoleRequest) control.ConsoleResult {
	out := control.ConsoleResult{APIVersion: control.Version, Policy: p.Ruleset().Policy, Values: []any{}}
	if req.Complete {
		out.Completions = p.Complete(req.Session, req.Source)
		return out
	}
	e, err := p.Eval(policy.Eval{Session: req.Session, Source: req.Source, Write: req.Write})
	out.Output, out.Texts = e.Output, e.Texts
	out.Values = append(out.Values, e.Values...)
	if err == nil {
		return out
	}
	out.Error = err.Error()
	var failed *policy.CallError
	if errors.As(err, &failed) {
		out.Error, out.Traceback = failed.Msg, failed.Traceback
		if failed.Pos.Line > 0 {
			out.Error = failed.Pos.String() + ": " + failed.Msg
		}
	}
	return out
}

// brief is a text for the log.
func brief(s string) string {
	const most = 1024
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
