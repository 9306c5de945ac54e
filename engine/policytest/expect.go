package policytest

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/lab"
	"moonlatch/engine/ruleset"
)

// send is t.send, and with connect t.connect.
func (f *File) send(L *lua.LState, form string, connect bool) int {
	d := f.packet(L, form)
	send := f.stage.Send
	if connect {
		send = f.stage.Connect
	}
	var r *lab.Result
	var err error
	for range d.count {
		if r, err = send(f.ctx, d.Packet); err != nil {
			L.RaiseError("%s: %v", form, err)
		}
	}
	f.policyFailures()
	switch {
	case connect && r.Verdict != lab.Accept:
		f.failPacket(r, "the connection cannot be made: %s", outcome(r))
	case connect && r.Answer != nil:
		f.failPacket(r.Answer, "the connection cannot be made, for want of an answer: %s", outcome(r.Answer))
	}
	L.Push(f.result(r))
	return 1
}

// result is the Lua value of a result: what became of a packet can be expected of it.
func (f *File) result(r *lab.Result) lua.LValue {
	L := f.state.L()
	values := L.NewTable()
	values.RawSetString("verdict", lua.LString(r.Verdict))
	values.RawSetString("rule", lua.LString(r.Rule))
	values.RawSetString("chain", lua.LString(r.Chain))
	var self lua.LValue
	values.RawSetString("expect", L.NewFunction(func(L *lua.LState) int {
		f.expect(L, r)
		L.Push(self)
		return 1
	}))
	values.RawSetString("expect_nat", L.NewFunction(func(L *lua.LState) int {
		f.expectNAT(L, r)
		L.Push(self)
		return 1
	}))
	names := []string{"verdict", "rule", "chain", "expect", "expect_nat"}
	self = f.object(values, func(L *lua.LState, name string) {
		f.mistake(L, "a sent packet has no field %q%s", name, ruleset.Suggest(name, names))
	})
	return self
}

// expect is packet:expect(verdict, rule).
func (f *File) expect(L *lua.LState, r *lab.Result) {
	form := `:expect("accept", "rule")`
	verdict := f.text(L, 2, form)
	rule := ""
	if L.GetTop() > 2 {
		rule = f.text(L, 3, form)
	}
	f.checkExpected(L, verdict, rule)
	if string(r.Verdict) == verdict && (rule == "" || rule == r.Rule) {
		return
	}
	want := verdict
	if rule != "" {
		want += fmt.Sprintf(" by %q", rule)
	}
	f.failPacket(r, "expected %s, got %s", want, outcome(r))
}

// expectNAT is packet:expect_nat { dst =, dport =, src =, sport = }.
func (f *File) expectNAT(L *lua.LState, r *lab.Result) {
	form := `:expect_nat { dst = "192.0.2.80", dport = 8080 }`
	t, ok := L.Get(2).(*lua.LTable)
	if !ok {
		f.mistake(L, "%s is expected, not %s", form, describe(L.Get(2)))
	}
	if r.After == nil {
		f.failPacket(r, "expected it to come through with other addresses, got %s", outcome(r))
		return
	}
	got := map[string]string{
		"src": r.After.Src.String(), "dst": r.After.Dst.String(),
		"sport": fmt.Sprint(r.After.Sport), "dport": fmt.Sprint(r.After.Dport),
	}
	for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
		name := k.String()
		if _, ok := got[name]; !ok {
			f.mistake(L, "unknown field %q in expect_nat%s", name, ruleset.Suggest(name, []string{"src", "dst", "sport", "dport"}))
		}
		want := v.String()
		if strings.HasSuffix(name, "port") {
			if err := number(v, 65535, func(int) {}); err != nil {
				f.mistake(L, "expect_nat: %s: %v", name, err)
			}
		} else if a, err := address(v); err != nil {
			f.mistake(L, "expect_nat: %s: %v", name, err)
		} else {
			want = a.String()
		}
		if got[name] != want {
			f.failPacket(r, "expected %s %s after NAT, got %s", name, want, got[name])
		}
	}
}

// outcome says what became of a packet, on one line.
func outcome(r *lab.Result) string {
	switch {
	case r.Verdict == lab.Lost:
		return "lost: no rule dropped it, but the kernel did (no route, or not a possible sender)"
	case r.Rule == lab.ByPolicy:
		return fmt.Sprintf("%s by the policy of chain %s", r.Verdict, r.Chain)
	case r.Rule == "":
		return fmt.Sprintf("%s: no chain of the policy sees it", r.Verdict)
	}
	return fmt.Sprintf("%s by %q", r.Verdict, r.Rule)
}

// failPacket notes a failure with the packet and the rules that it met.
func (f *File) failPacket(r *lab.Result, format string, args ...any) {
	f.fail(format, args...)
	failure := &f.current.Failures[len(f.current.Failures)-1]
	failure.Trace = append(failure.Trace, r.Packet.String())
	for _, v := range r.Visits {
		switch {
		case v.Policy:
			failure.Trace = append(failure.Trace, fmt.Sprintf("  %s: its policy: %s", v.Chain, v.Verdict))
		case v.Matched:
			failure.Trace = append(failure.Trace, fmt.Sprintf("  %s %q: %s", v.Chain, v.Rule.Name, v.Rule.Text))
		}
	}
}
