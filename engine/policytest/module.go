package policytest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine"
	"moonlatch/engine/lab"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
)

// function is a function of the module moonlatch.test.
type function struct {
	name   string
	inside bool // a test's, not the file's
	call   func(f *File, L *lua.LState) int
	params string // for the definitions: "name type, … -> type"
	doc    string
}

func functions() []function {
	return []function{
		{"load", false, (*File).load, "policy string -> moonlatch.test.policy", "names the policy that the file tests"},
		{"test", false, (*File).declare, "what string, run fun()", "declares a test, which has a host of its own"},
		{"send", true, func(f *File, L *lua.LState) int { return f.send(L, "t.send", false) }, "packet moonlatch.test.packet -> moonlatch.test.sent", "sends a packet to the host"},
		{"connect", true, func(f *File, L *lua.LState) int { return f.send(L, "t.connect", true) }, "packet moonlatch.test.packet -> moonlatch.test.sent", "makes an established connection"},
		{"address", true, (*File).address, "address string", "gives the host one more address"},
		{"banned", true, (*File).banned, "address string, time? string", "expects that the address is banned, for that time if one is given"},
		{"not_banned", true, (*File).notBanned, "address string", "expects that the address is not banned"},
		{"events", true, (*File).events, "stream string -> number", "the number of packets that came in on a stream"},
		{"notified", true, (*File).notified, "target string, pattern? string", "expects that the target was told something, whose title or text matches the Lua pattern if one is given"},
		{"feed", true, (*File).feed, "name string, list string[]", "has a new list come for a feed of the policy: addresses, prefixes and ranges"},
		{"advance", true, (*File).advance, "time string", "lets time pass: for timers, bans, detectors, and what is remembered"},
	}
}

// module makes the module. It can be read, and knows misspelt names.
func (f *File) module() lua.LValue {
	L := f.state.L()
	values := L.NewTable()
	var names []string
	for _, fn := range functions() {
		names = append(names, fn.name)
		values.RawSetString(fn.name, L.NewFunction(func(L *lua.LState) int {
			if fn.inside && f.stage == nil {
				f.mistake(L, `t.%s works in tests only: t.test("what holds", function() t.%s … end)`, fn.name, fn.name)
			}
			if !fn.inside && f.stage != nil {
				f.mistake(L, "t.%s stands outside of the tests", fn.name)
			}
			return fn.call(f, L)
		}))
	}
	return f.object(values, func(L *lua.LState, name string) {
		f.mistake(L, "unknown name t.%s%s", name, ruleset.Suggest(name, names))
	})
}

// object makes a Lua value with fields that cannot be changed.
func (f *File) object(values *lua.LTable, unknown func(L *lua.LState, name string)) lua.LValue {
	L := f.state.L()
	missing := L.NewTable()
	missing.RawSetString("__index", L.NewFunction(func(L *lua.LState) int {
		unknown(L, L.ToStringMeta(L.Get(2)).String())
		return 0
	}))
	values.Metatable = missing
	mt := L.NewTable()
	mt.RawSetString("__metatable", lua.LFalse)
	mt.RawSetString("__index", values)
	mt.RawSetString("__newindex", L.NewFunction(func(L *lua.LState) int {
		f.mistake(L, "%s cannot be changed here", L.ToStringMeta(L.Get(2)))
		return 0
	}))
	return &lua.LUserData{Metatable: mt}
}

// mistake ends the run: the test file is wrong, not the policy.
func (f *File) mistake(L *lua.LState, format string, args ...any) {
	f.places = append(f.places, ruleset.Errorf(f.here(), format, args...))
	L.RaiseError(format, args...)
}

// here is where the file calls the module.
func (f *File) here() ruleset.Pos {
	file, line := f.state.Where(1)
	return ruleset.Pos{File: file, Line: line}
}

// load is t.load.
func (f *File) load(L *lua.LState) int {
	name := f.text(L, 1, `t.load "POLICY.lua"`)
	if f.policy != "" {
		f.mistake(L, "t.load: this file tests %s already; a file tests one policy", f.policy)
	}
	p, err := policy.Load(f.Folder, name, engine.Environment(f.Log))
	if err != nil {
		f.mistake(L, "%s cannot be loaded:\n%v", name, err)
	}
	defer p.Close()
	f.policy, f.rules = name, namesOf(p)
	sets := f.state.L().NewTable()
	var names []string
	for _, s := range p.Ruleset().Sets {
		names = append(names, s.Name)
		list := f.state.L().NewTable()
		if s.Addrs != nil {
			for prefix := range s.Addrs.Prefixes() {
				list.Append(lua.LString(prefixText(prefix)))
			}
		}
		sets.RawSetString(s.Name, list)
	}
	values := f.state.L().NewTable()
	values.RawSetString("sets", f.object(sets, func(L *lua.LState, name string) {
		f.mistake(L, "%s has no set %q%s", f.policy, name, ruleset.Suggest(name, names))
	}))
	L.Push(f.object(values, func(L *lua.LState, name string) {
		f.mistake(L, "a loaded policy has no field %q: it has sets.NAME, the list of a set's addresses", name)
	}))
	return 1
}

func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// declare is t.test.
func (f *File) declare(L *lua.LState) int {
	form := `t.test("what holds", function() … end)`
	name := f.text(L, 1, form)
	fn, ok := L.Get(2).(*lua.LFunction)
	if !ok {
		f.mistake(L, "%s is expected, and argument 2 is %s", form, describe(L.Get(2)))
	}
	if i := slices.IndexFunc(f.tests, func(t *test) bool { return t.name == name }); i >= 0 {
		f.mistake(L, "test %q is declared twice, first at %s", name, f.tests[i].pos)
	}
	f.tests = append(f.tests, &test{name, f.here(), fn})
	return 0
}

// address is t.address.
func (f *File) address(L *lua.LState) int {
	if err := f.stage.AddAddress(f.ip(L, 1, `t.address "192.0.2.80"`)); err != nil {
		L.RaiseError("%v", err)
	}
	return 0
}

// tolerance is how far the time of a ban may be from what was asked for: the
// kernel rounds to its ticks.
const tolerance = 2 * time.Second

// banned is t.banned.
func (f *File) banned(L *lua.LState) int {
	form := `t.banned("203.0.113.9", "1h")`
	a := f.ip(L, 1, form)
	b, ok, err := f.stage.Banned(f.ctx, a)
	switch {
	case err != nil:
		L.RaiseError("%v", err)
	case !ok:
		f.fail("%s is not banned", a)
		return 0
	}
	if L.Get(2) == lua.LNil {
		return 0
	}
	want := f.duration(L, 2, form)
	if got := b.Until.Sub(b.Since); got < want-tolerance || got > want+tolerance {
		f.fail("%s is banned for %s, by %s (%s), and not for %s", a, got.Round(time.Second), b.By, b.Why, want)
	}
	return 0
}

// notBanned is t.not_banned.
func (f *File) notBanned(L *lua.LState) int {
	a := f.ip(L, 1, `t.not_banned("192.0.2.5")`)
	b, ok, err := f.stage.Banned(f.ctx, a)
	if err != nil {
		L.RaiseError("%v", err)
	}
	if ok {
		f.fail("%s is banned, as %s for %s by %s: %s", a, prefixText(b.Target), b.Until.Sub(b.Since).Round(time.Second), b.By, b.Why)
	}
	return 0
}

// events is t.events.
func (f *File) events(L *lua.LState) int {
	name := f.text(L, 1, `t.events "closed"`)
	var names []string
	for _, s := range f.stage.Policy().Ruleset().Streams {
		names = append(names, s.Name)
	}
	if !slices.Contains(names, name) {
		f.mistake(L, "%s has no stream %q%s", f.policy, name, ruleset.Suggest(name, names))
	}
	L.Push(lua.LNumber(f.stage.Events(name)))
	return 1
}

// advance is t.advance.
func (f *File) advance(L *lua.LState) int {
	if err := f.stage.Advance(f.ctx, f.duration(L, 1, `t.advance "10m"`)); err != nil {
		L.RaiseError("%v", err)
	}
	f.policyFailures()
	return 0
}

// fail notes a failure at the running call.
func (f *File) fail(format string, args ...any) {
	f.current.Failures = append(f.current.Failures, Failure{Place: f.here().String(), Text: fmt.Sprintf(format, args...)})
}

// policyFailures makes errors of the policy's own Lua failures of the test.
func (f *File) policyFailures() {
	for _, err := range f.stage.Failures() {
		f.fail("the policy's Lua failed: %v", err)
	}
}

// checkExpected refuses names that nothing can be decided by.
func (f *File) checkExpected(L *lua.LState, verdict, rule string) {
	if !slices.Contains(lab.Verdicts(), verdict) {
		f.mistake(L, "%q is no verdict%s: it is one of %s", verdict, ruleset.Suggest(verdict, lab.Verdicts()), strings.Join(lab.Verdicts(), ", "))
	}
	if rule != "" && !slices.Contains(f.rules, rule) {
		f.mistake(L, "%s has no rule %q%s", f.policy, rule, ruleset.Suggest(rule, f.rules))
	}
}
