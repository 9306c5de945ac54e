package policy

import (
	"context"
	"errors"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/probe"
)

// ErrClosed is the error of a check whose policy was closed meanwhile.
var ErrClosed = errors.New("the policy has been replaced")

// Check runs the watchdog's check; without one, all is well. It waits for its
// turn among the policy's callbacks and lets them have theirs while a probe waits
// for its answer, so that a check delays nothing. All is well if the check returns
// true before ctx ends. An error of the policy's is a *CallError.
func (p *Policy) Check(ctx context.Context) error {
	c := p.watchdog.Check
	if c == nil {
		return nil
	}
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.running, p.checking = c, ctx
	returned, err := p.state.Call(c.fn, 2)
	p.running, p.checking = nil, nil
	c.stats.calls.Add(1)
	switch {
	case p.closed: // while a probe waited
		return ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return c.failure(err)
	}
	return checkVerdict(returned[0], returned[1])
}

// checkVerdict reads what a check returned: true, or anything else and, perhaps, why.
func checkVerdict(v, why lua.LValue) error {
	reason, explained := why.(lua.LString)
	switch {
	case v == lua.LTrue:
		return nil
	case v == lua.LFalse && explained:
		return errors.New(printable(string(reason), maxWhy))
	case v == lua.LFalse:
		return errors.New("it returned false")
	}
	return fmt.Errorf("it returned %s, and only true says that all is well", describe(v))
}

// probeMembers are the names of fw.probe.
func probeMembers() []member {
	kind := func(name, takes, doc, example string) member {
		return member{
			Entry: Entry{
				Name: name, Takes: takes + ", a time-out (default 3s)", Doc: doc + "; returns true, or false and why not",
				Example: `fw.watchdog { lease = "30s", check = function() return fw.probe.` + name + `("` + example + `") end }`,
			},
			always: func(p *Policy, L *lua.LState) int { return p.probe(L, name, example) },
		}
	}
	return []member{
		kind("tcp", `"HOST:PORT"`, "makes a TCP connection", "192.0.2.1:443"),
		kind("udp", `"HOST:PORT"`, "sends a datagram, which must be answered", "192.0.2.1:7"),
		kind("dns", `"NAME" or "NAME@SERVER"`, "looks up a name's addresses", "www.example.org@192.0.2.53"),
		kind("http", `a URL, or "URL#STATUS"`, "asks for a page; without a status, any below 500 will do", "https://192.0.2.1/health"),
		kind("ping", `"HOST"`, "sends an ICMP echo request", "192.0.2.1"),
	}
}

// probe is fw.probe.KIND.
func (p *Policy) probe(L *lua.LState, kind, example string) int {
	form := fmt.Sprintf("fw.probe.%s(%q)", kind, example)
	if p.checking == nil {
		L.RaiseError("fw.probe.%s waits, and so works in the check of fw.watchdog only: fw.watchdog { check = function() return %s end }", kind, form)
	}
	pr, err := probe.New(kind, stringArg(L, 1, form))
	if err == nil && L.Get(2) != lua.LNil {
		pr, err = timeOut(pr, L.Get(2))
	}
	noMore(L, 2, form)
	if err != nil {
		L.RaiseError("%v", err)
	}
	ctx := p.checking
	p.away(func() { err = pr.Run(ctx) })
	if p.closed {
		L.RaiseError("%v", ErrClosed)
	}
	return result(L, err)
}

func timeOut(pr probe.Probe, v lua.LValue) (probe.Probe, error) {
	d, err := duration(v)
	if err != nil {
		return pr, fmt.Errorf("time-out: %w", err)
	}
	return pr.Within(d)
}

// away lets others run Lua while wait waits, and then takes the running call up again.
func (p *Policy) away(wait func()) {
	running, checking, resume := p.running, p.checking, p.state.Suspend()
	p.running, p.checking = nil, nil
	p.turn.Unlock()
	defer func() {
		p.turn.Lock()
		resume()
		p.running, p.checking = running, checking
	}()
	wait()
}
