package policy

import (
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/packet"
	"moonlatch/engine/ruleset"
)

// Handler is a function that fw.on attached to a stream.
type Handler struct {
	*Callback
	Stream *ruleset.Stream

	filter []matcher
	fields []eventField // passed instead of an event object, where there are any
}

// Match reports whether the handler wants the packet. It allocates nothing and
// may be called by any goroutine.
func (h *Handler) Match(p *packet.Packet) bool {
	for _, m := range h.filter {
		if !m(p) {
			return false
		}
	}
	return true
}

// Timer is a function that fw.every or fw.after set up.
type Timer struct {
	*Callback
	Every time.Duration // 0 for one that runs once
	After time.Duration // 0 for one that runs again and again
}

// Handle runs a handler for a packet that Match took, logged by the named rule.
// It keeps nothing of the packet. A handler that is switched off is not run.
// The error is a *CallError.
func (p *Policy) Handle(h *Handler, rule string, pkt *packet.Packet) error {
	if h.off.Load() {
		return nil
	}
	p.turn.Lock()
	defer p.turn.Unlock()
	s := p.events
	s.begin(h.Stream, rule, pkt)
	st := p.state.Begin(h.fn)
	if h.fields == nil {
		st.Push(s.newObject())
	}
	for i := range h.fields {
		st.Push(h.fields[i].get(s)) // at once: a slice between costs a fifth of a short call
	}
	err := p.end(h.Callback, st)
	s.end()
	return err
}

// Tick runs a timer that is due. The error is a *CallError.
func (p *Policy) Tick(t *Timer) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	return p.run(t.Callback)
}

// on is fw.on.
func (l *loader) on(L *lua.LState) int {
	form := `fw.on(stream, function(ev) … end)`
	pos := l.here()
	s, ok := unwrap[*streamObject](L.Get(1))
	if !ok {
		L.RaiseError("%s is expected, and argument 1 is %s", form, got(L, 1))
	}
	h := &Handler{Stream: s.stream}
	last := 2
	before := l.count
	if _, ok := L.Get(2).(*lua.LTable); ok {
		last = 3
		l.filter(h, l.table(L, 2, form))
	}
	h.Callback = l.callback("handler", pos, functionArg(L, last, form))
	noMore(L, last, form)
	if l.count == before {
		l.handlers = append(l.handlers, h)
	}
	return 0
}

// every is fw.every.
func (l *loader) every(L *lua.LState) int {
	return l.timer(L, "fw.every", func(t *Timer, d time.Duration) { t.Every = d })
}

// after is fw.after.
func (l *loader) after(L *lua.LState) int {
	return l.timer(L, "fw.after", func(t *Timer, d time.Duration) { t.After = d })
}

func (l *loader) timer(L *lua.LState, name string, set func(*Timer, time.Duration)) int {
	form := name + `("10m", function() … end)`
	pos := l.here()
	d, err := duration(L.Get(1))
	if err != nil {
		l.report(pos, "%s: %v", name, err)
	}
	t := &Timer{Callback: l.callback("timer", pos, functionArg(L, 2, form))}
	noMore(L, 2, form)
	set(t, d)
	if err == nil {
		l.timers = append(l.timers, t)
	}
	return 0
}

// callback names a callback by its place in the policy.
func (l *loader) callback(kind string, pos ruleset.Pos, fn *lua.LFunction) *Callback {
	name := pos.String()
	for n := 2; ; n++ {
		if _, taken := l.names[kind+" "+name]; !taken {
			break
		}
		name = fmt.Sprintf("%s#%d", pos, n)
	}
	l.names[kind+" "+name] = pos
	return &Callback{Name: name, Kind: kind, Pos: pos, fn: fn}
}
