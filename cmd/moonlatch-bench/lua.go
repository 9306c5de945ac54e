package main

import (
	"context"
	"fmt"
	"net/netip"
	"testing/fstest"
	"time"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/packet"
	"moonlatch/engine/policy"
)

func luaRows() []row {
	return []row{
		{ID: "lua.event", What: "Lua handler that reads six fields of an event", Unit: nanoseconds, Anchor: "a bare gopher-lua call", MaxRatio: 1.5},
		{ID: "lua.positional", What: "Lua handler that gets six fields as arguments", Unit: nanoseconds, Anchor: "a bare gopher-lua call", MaxRatio: 1.5},
	}
}

// What both handlers do: look at six fields.
const (
	readFields    = `function(ev) if ev.src == "x" or ev.dst == "x" or ev.sport == 1 or ev.dport == 1 or ev.ttl == 1 or ev.flags == "x" then error("never") end end`
	readArguments = `function(src, dst, sport, dport, ttl, flags) if src == "x" or dst == "x" or sport == 1 or dport == 1 or ttl == 1 or flags == "x" then error("never") end end`
)

// measureLua calls a handler of a policy, and a function of a bare gopher-lua
// state with the same text: no sandbox, no schema, every value made beforehand.
func measureLua(_ context.Context, b *bench) error {
	for _, m := range []struct{ id, handler, bare string }{
		{"lua.event", readFields, readFields},
		{"lua.positional", `{ fields = { "src", "dst", "sport", "dport", "ttl", "flags" } }, ` + readArguments, readArguments},
	} {
		ours, err := policyCall(m.handler)
		if err != nil {
			return err
		}
		bare, err := bareCall(m.bare)
		if err != nil {
			return err
		}
		f, err := inTurns(b.size.events/200, ours, bare)
		if err != nil {
			return err
		}
		b.find(m.id, f)
	}
	return nil
}

// inTurns calls each of two functions 200 times, and that again and again.
func inTurns(rounds int, ours, anchor func() error) (finding, error) {
	const calls = 200
	var p pair
	for range rounds {
		var took [2]float64
		for i, call := range []func() error{ours, anchor} {
			start := time.Now()
			for range calls {
				if err := call(); err != nil {
					return finding{}, err
				}
			}
			took[i] = float64(time.Since(start).Nanoseconds()) / calls
		}
		p.add(took[0], took[1])
	}
	return p.at(0.5), nil
}

// policyCall returns a call of a policy's handler, as the daemon makes them.
func policyCall(handler string) (func() error, error) {
	text := `local fw = require "moonlatch"; fw.on(fw.stream "closed", ` + handler + `)`
	p, err := policy.Load(fstest.MapFS{"policy.lua": {Data: []byte(text)}}, "policy.lua", policy.Env{})
	if err != nil {
		return nil, err
	}
	probe := &packet.Packet{
		Time: time.Now(), Src: netip.MustParseAddr("203.0.113.9"), Dst: netip.MustParseAddr("192.0.2.80"), TTL: 57,
		Proto: 6, HasProto: true, Sport: 40000, Dport: 3389, HasPorts: true, Flags: packet.SYN, HasFlags: true,
	}
	h := p.Handlers()[0]
	return func() error { return p.Handle(h, "closed", probe) }, nil
}

// bareCall returns a call of a function with the same six fields: one by one if
// it takes more than one argument, and otherwise of an event.
func bareCall(function string) (func() error, error) {
	state := lua.NewState()
	if err := state.DoString("return " + function); err != nil {
		return nil, err
	}
	fn, ok := state.Get(-1).(*lua.LFunction)
	if !ok {
		return nil, fmt.Errorf("no function: %s", function)
	}
	args := []lua.LValue{lua.LString("203.0.113.9"), lua.LString("192.0.2.80"), lua.LNumber(40000), lua.LNumber(3389), lua.LNumber(57), lua.LString("syn")}
	if fn.Proto.NumParameters == 1 {
		args = []lua.LValue{bareEvent(state, args)}
	}
	return func() error { return state.CallByParam(lua.P{Fn: fn, Protect: true}, args...) }, nil
}

// bareEvent is the plainest object that answers to the names of the fields.
func bareEvent(state *lua.LState, values []lua.LValue) lua.LValue {
	get := func(state *lua.LState) int {
		field := 0
		switch state.CheckString(2) {
		case "src":
		case "dst":
			field = 1
		case "sport":
			field = 2
		case "dport":
			field = 3
		case "ttl":
			field = 4
		case "flags":
			field = 5
		}
		state.Push(values[field])
		return 1
	}
	event, metatable := state.NewUserData(), state.NewTable()
	metatable.RawSetString("__index", state.NewFunction(get))
	event.Metatable = metatable
	return event
}
