package policy

import (
	"regexp"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/packet"
	"moonlatch/engine/ruleset"
)

// Bounds of what is cached of events.
const (
	maxCachedWords    = 1024
	maxCachedPatterns = 256
	maxPattern        = 1000 // bytes
)

// events makes the objects ev and the Lua values of their fields. There is one
// event at a time; its object is made anew for each, so that one that outlives
// its handler can be told from the next.
type events struct {
	stream *ruleset.Stream
	rule   string
	pkt    *packet.Packet
	object *lua.LUserData // ev; nil where the handler takes fields

	meta   *lua.LTable
	fields fieldTable
	match  lua.LValue

	flagTexts [256]lua.LValue
	numbers   numbers
	addrs     addressTexts
	words     recent[string, lua.LValue]
	patterns  recent[string, pattern]
	iface     func(uint32) string
	places    *places
}

func newEvents(p *Policy) *events {
	s := &events{
		words:    newRecent[string, lua.LValue](maxCachedWords),
		patterns: newRecent[string, pattern](maxCachedPatterns),
		iface:    p.env.InterfaceName,
		places:   &p.geo,
	}
	for _, f := range eventFields() {
		s.fields.add(f)
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

// begin makes a packet the current event.
func (s *events) begin(stream *ruleset.Stream, rule string, pkt *packet.Packet) {
	s.stream, s.rule, s.pkt = stream, rule, pkt
}

// newObject makes the object of the current event.
func (s *events) newObject() lua.LValue {
	s.object = &lua.LUserData{Value: s, Metatable: s.meta}
	return s.object
}

// end forgets the current event.
func (s *events) end() { s.pkt, s.object = nil, nil }

// index is ev.NAME.
func (s *events) index(L *lua.LState) int {
	s.check(L)
	name, _ := L.Get(2).(lua.LString)
	if f := s.fields.find(string(name)); f != nil {
		if f.needs != nil {
			if err := f.needs(s.places); err != nil {
				L.RaiseError("%v", err)
			}
		}
		L.Push(f.get(s))
		return 1
	}
	if name == "match" {
		L.Push(s.match)
		return 1
	}
	if name == "" {
		L.RaiseError("an event has no field %s", describe(L.Get(2)))
	}
	L.RaiseError("%s", noEventField(string(name)))
	return 0
}

// eventNames are the names that an event has.
func eventNames() []string { return append(names(eventFields()), "match") }

func noEventField(name string) string {
	return "an event has no field " + quoted(name) + ruleset.Suggest(name, eventNames())
}

// check raises an error unless argument 1 is the current event.
func (s *events) check(L *lua.LState) {
	u, ok := L.Get(1).(*lua.LUserData)
	if ok && u == s.object {
		return
	}
	if ok && u.Value == s {
		L.RaiseError("ev is gone after the handler returns: copy the fields you need")
	}
	L.RaiseError("an event is expected, not %s: write ev:match(…), with a colon", got(L, 1))
}

// pattern is a compiled pattern, or why it cannot be compiled.
type pattern struct {
	re  *regexp.Regexp
	err error
}

// matchPayload is ev:match: it returns the captures of the first match, or the
// whole match where the pattern has none, or nil.
func (s *events) matchPayload(L *lua.LState) int {
	s.check(L)
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
	found := p.re.FindSubmatchIndex(s.pkt.Payload)
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
		L.Push(lua.LString(s.pkt.Payload[found[i]:found[i+1]]))
	}
	return len(found) / 2
}
