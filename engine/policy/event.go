package policy

import (
	"net/netip"
	"regexp"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/packet"
	"moonlatch/engine/ruleset"
)

// Bounds of what is cached of events.
const (
	maxCachedAddrs    = 4096
	maxCachedWords    = 1024
	maxCachedPatterns = 256
	maxPattern        = 1000 // bytes
)

// event is the object ev of one call of a handler. Each call has its own, so
// that one that outlives the call can be told from that of the next.
type event struct {
	lua.LUserData
	stream *ruleset.Stream
	rule   string
	pkt    *packet.Packet // nil when the handler has returned
}

// events makes event objects and the Lua values of their fields.
type events struct {
	meta    *lua.LTable
	fields  map[string]*eventField
	match   lua.LValue
	scratch event // for handlers that take fields

	flagTexts [256]lua.LValue
	numbers   numbers
	addrs     recent[netip.Addr, lua.LValue]
	words     recent[string, lua.LValue]
	patterns  recent[string, pattern]
	iface     func(uint32) string
}

func newEvents(p *Policy) *events {
	s := &events{
		fields:   map[string]*eventField{},
		addrs:    newRecent[netip.Addr, lua.LValue](maxCachedAddrs),
		words:    newRecent[string, lua.LValue](maxCachedWords),
		patterns: newRecent[string, pattern](maxCachedPatterns),
		iface:    p.env.InterfaceName,
	}
	for _, f := range eventFields() {
		s.fields[f.Name] = &f
	}
	L := p.state.L()
	s.match = L.NewFunction(s.matchPayload)
	s.meta = L.NewTable()
	s.meta.RawSetString("__metatable", lua.LFalse)
	s.meta.RawSetString("__index", L.NewFunction(s.index))
	s.meta.RawSetString("__newindex", L.NewFunction(func(L *lua.LState) int {
		L.RaiseError("an event cannot be changed")
		return 0
	}))
	s.meta.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LString("event"))
		return 1
	}))
	return s
}

// open makes the event object of one call.
func (s *events) open(stream *ruleset.Stream, rule string, pkt *packet.Packet) *event {
	e := &event{stream: stream, rule: rule, pkt: pkt}
	e.Value, e.Metatable = e, s.meta
	return e
}

// index is ev.NAME.
func (s *events) index(L *lua.LState) int {
	e := eventArg(L)
	name, _ := L.Get(2).(lua.LString)
	if f, ok := s.fields[string(name)]; ok {
		L.Push(f.get(s, e))
		return 1
	}
	if name == "match" {
		L.Push(s.match)
		return 1
	}
	L.RaiseError("an event has no field %s%s", describe(L.Get(2)), ruleset.Suggest(string(name), append(names(eventFields()), "match")))
	return 0
}

// eventArg is argument 1, an event that is not over.
func eventArg(L *lua.LState) *event {
	if u, ok := L.Get(1).(*lua.LUserData); ok {
		if e, ok := u.Value.(*event); ok {
			if e.pkt == nil {
				L.RaiseError("ev is gone after the handler returns: copy the fields you need")
			}
			return e
		}
	}
	L.RaiseError("an event is expected, not %s: write ev:match(…), with a colon", got(L, 1))
	return nil
}

// pattern is a compiled pattern, or why it cannot be compiled.
type pattern struct {
	re  *regexp.Regexp
	err error
}

// matchPayload is ev:match: it returns the captures of the first match, or the
// whole match where the pattern has none, or nil.
func (s *events) matchPayload(L *lua.LState) int {
	e := eventArg(L)
	text := stringArg(L, 2, `ev:match("pattern")`)
	if len(text) > maxPattern {
		L.RaiseError("the pattern is longer than %d bytes", maxPattern)
	}
	p := s.patterns.get(text, func(text string) pattern {
		re, err := regexp.Compile(text)
		return pattern{re, err}
	})
	if p.err != nil {
		L.RaiseError("%v (patterns are RE2, not Lua's: https://golang.org/s/re2syntax)", p.err)
	}
	found := p.re.FindSubmatchIndex(e.pkt.Payload)
	if found == nil {
		L.Push(lua.LNil)
		return 1
	}
	if len(found) > 2 {
		found = found[2:]
	}
	for i := 0; i < len(found); i += 2 {
		if found[i] < 0 {
			L.Push(lua.LNil)
			continue
		}
		L.Push(lua.LString(e.pkt.Payload[found[i]:found[i+1]]))
	}
	return len(found) / 2
}
