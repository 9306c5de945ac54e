package engine

import (
	"slices"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/detect"
	"moonlatch/engine/feed"
	"moonlatch/engine/memory"
	"moonlatch/engine/packet"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
)

// runtime is one generation's policy at work: what is to be done with each
// packet event. The detectors belong to the reading goroutine, the policy to
// the calling one (see caller); the rest does not change.
type runtime struct {
	generation uint64
	policy     *policy.Policy
	digest     string
	routes     map[string]*route // by log prefix
	detectors  []*detector
	memory     *memory.Memory // what the policy remembers
}

// trapAuthor is who bans what a trap caught.
const trapAuthor = "trap"

// route is what becomes of the packets that one rule logs.
type route struct {
	ruleset.Route
	source    feed.Source
	trap      ban.Request // of a trap: what each packet asks for, but for target and time
	detectors []*detector
	handlers  []*policy.Handler
}

// detector is a policy's detector and its state.
type detector struct {
	*policy.Detector
	state *detect.Detector
}

func newRuntime(generation uint64, p *policy.Policy) (*runtime, error) {
	rt := &runtime{generation: generation, policy: p, digest: p.Ruleset().Digest(), routes: map[string]*route{}}
	for _, d := range p.Detectors() {
		state, err := detect.New(d.Spec)
		if err != nil {
			return nil, badPolicy(ruleset.Errorf(d.Pos, "%v", err))
		}
		rt.detectors = append(rt.detectors, &detector{d, state})
	}
	for _, r := range p.Ruleset().Routes() {
		to := &route{Route: r, source: sourceOf(r)}
		if r.Trap > 0 {
			to.trap = ban.Request{Times: []time.Duration{r.Trap}, Why: "touched " + r.Rule.Name, By: trapAuthor, Origin: ban.Local}
		}
		to.listen(rt)
		rt.routes[r.Prefix] = to
	}
	return rt, nil
}

// sourceOf says what the feed calls a rule that logs.
func sourceOf(r ruleset.Route) feed.Source {
	stream := "trap"
	if r.Stream != nil {
		stream = r.Stream.Name
	}
	return feed.Source{Stream: stream, Chain: r.Chain, Rule: r.Rule.Name, Verdict: r.Rule.Verdict()}
}

// listen attaches who listens to the route's stream.
func (to *route) listen(rt *runtime) {
	for _, d := range rt.detectors {
		if slices.Contains(d.Streams, to.Stream) {
			to.detectors = append(to.detectors, d)
		}
	}
	for _, h := range rt.policy.Handlers() {
		if h.Stream == to.Stream {
			to.handlers = append(to.handlers, h)
		}
	}
}

// callback is one call of a policy's Lua that waits for its turn. Exactly one
// of handler and detector is set.
type callback struct {
	runtime  *runtime
	handler  *policy.Handler
	rule     string
	packet   packet.Packet
	payload  [ruleset.MaxSnaplen]byte // what packet.Payload aliases
	detector *policy.Detector
	hit      detect.Hit
}

// callbacks lists every Lua function of the policy that can be run.
func (rt *runtime) callbacks() []*policy.Callback {
	var out []*policy.Callback
	for _, d := range rt.detectors {
		if d.Action != nil {
			out = append(out, d.Action)
		}
	}
	for _, h := range rt.policy.Handlers() {
		out = append(out, h.Callback)
	}
	for _, t := range rt.policy.Timers() {
		out = append(out, t.Callback)
	}
	if check := rt.policy.Watchdog().Check; check != nil {
		out = append(out, check)
	}
	return out
}

// The methods below write a callback in place and leave alone what of its
// payload is not used: most of it, most of the time.

// event makes c the call of a handler for a packet, which it copies.
func (c *callback) event(rt *runtime, h *policy.Handler, rule string, p *packet.Packet) {
	c.runtime, c.handler, c.rule, c.detector = rt, h, rule, nil
	c.setPacket(p)
}

// finding makes c the call of a detector's action.
func (c *callback) finding(rt *runtime, d *policy.Detector, hit *detect.Hit) {
	c.runtime, c.handler, c.detector, c.hit = rt, nil, d, *hit
}

func (c *callback) copy(from *callback) {
	c.runtime, c.handler, c.rule, c.detector, c.hit = from.runtime, from.handler, from.rule, from.detector, from.hit
	c.setPacket(&from.packet)
}

// forget lets go of the policy, which may be replaced long before its place in the queue is used again.
func (c *callback) forget() { c.runtime, c.handler, c.detector, c.hit = nil, nil, nil, detect.Hit{} }

func (c *callback) setPacket(p *packet.Packet) {
	c.packet = *p
	c.packet.Payload = c.payload[:copy(c.payload[:], p.Payload)]
}
