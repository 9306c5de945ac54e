package policy

import (
	"fmt"
	"strings"
	"unicode"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/policy/sandbox"
	"moonlatch/engine/ruleset"
)

// The bounds of a console.
const (
	maxConsoleSource = 64 << 10 // bytes of what is evaluated at once
	maxSessions      = 8        // whose names a policy keeps; then it forgets the one made first
	maxSets          = 1000     // addresses of a set that a console shows
)

// Eval is code for a console.
type Eval struct {
	Session string // names of the same session are kept from one call to the next
	Source  string // an expression or statements
	Write   bool   // may ban, unban, remember and so on
}

// Evaluated is what became of it.
type Evaluated struct {
	Output string   // what it printed
	Texts  []string // its values, for people
	Values []any    // its values, as JSON has them
}

// sessions are the consoles at work on a policy, the one made first in front.
type sessions []namedSession

type namedSession struct {
	name string
	*sandbox.Session
	output *printed
}

// Eval runs a console's code within the bounds of a callback. It waits for its turn
// among the callbacks. The error is a *CallError, or ErrClosed; what was printed before is told with it.
func (p *Policy) Eval(e Eval) (Evaluated, error) {
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.closed {
		return Evaluated{}, ErrClosed
	}
	c := &Callback{Name: "input", Kind: "console", Pos: ruleset.Pos{File: "console"}}
	if len(e.Source) > maxConsoleSource {
		return Evaluated{}, newCallError(c, fmt.Errorf("longer than %d KiB", maxConsoleSource>>10))
	}
	s := p.session(e.Session)
	s.output.reset()
	fn, err := p.state.LoadIn(s.Session, "console", e.Source)
	if err != nil {
		return Evaluated{}, newCallError(c, err)
	}
	p.running, p.readOnly = c, !e.Write
	values, err := p.state.Call(fn, lua.MultRet)
	p.running, p.readOnly = nil, false
	out := Evaluated{Output: s.output.String()}
	if err != nil {
		return out, newCallError(c, err)
	}
	show := newShow()
	for _, v := range values {
		out.Texts = append(out.Texts, show.text(v))
		out.Values = append(out.Values, plainJSON(v))
	}
	return out, nil
}

// session returns the session of a name, made where it is new.
func (p *Policy) session(name string) namedSession {
	for _, s := range p.sessions {
		if s.name == name {
			return s
		}
	}
	if len(p.sessions) == maxSessions {
		p.sessions = p.sessions[1:]
	}
	out := &printed{}
	names := p.consoleNames()
	names["print"] = p.state.L().NewFunction(out.print)
	s := namedSession{name, p.state.NewSession(names), out}
	p.sessions = append(p.sessions, s)
	return s
}

// printed is what a console's code prints.
type printed struct {
	strings.Builder
	cut bool
}

func (o *printed) reset() {
	o.Reset()
	o.cut = false
}

// print is print, for a console.
func (o *printed) print(L *lua.LState) int {
	if o.cut {
		return 0
	}
	var words []string
	for i := 1; i <= L.GetTop(); i++ {
		if s, ok := L.Get(i).(lua.LString); ok {
			words = append(words, strings.Map(visible, string(s[:min(len(s), maxShown)])))
			continue
		}
		words = append(words, newShow().text(L.Get(i)))
	}
	line := strings.Join(words, "\t") + "\n"
	if o.cut = o.Len()+len(line) > maxShown; o.cut {
		line = "… and more\n"
	}
	o.WriteString(line)
	return 0
}

// visible keeps what a terminal would take for orders away from it.
func visible(c rune) rune {
	if c == '\n' || c == '\t' || unicode.IsPrint(c) {
		return c
	}
	return '?'
}

// consoleNames are what a console can name beside Lua's own names: the module, and
// what the policy declares, as tables of its own.
func (p *Policy) consoleNames() map[string]lua.LValue {
	fw, _ := p.state.Provided("moonlatch")
	return map[string]lua.LValue{
		"fw": fw, "sets": p.setTables(), "chains": p.chainTables(), "streams": p.streamList(), "detectors": p.detectorTables(), "callbacks": p.callbackList(),
	}
}

func (p *Policy) setTables() lua.LValue {
	L := p.state.L()
	all := L.NewTable()
	for _, s := range p.set.Sets {
		list, n := L.NewTable(), 0
		add := func(text string) bool {
			n++
			list.Append(lua.LString(text))
			return n < maxSets
		}
		if s.IsPorts() {
			for _, r := range s.Ports {
				if !add(r.String()) {
					break
				}
			}
		} else {
			for prefix := range s.Addrs.Prefixes() {
				if !add(showPrefix(prefix)) {
					break
				}
			}
		}
		all.RawSetString(s.Name, list)
	}
	return all
}

func (p *Policy) chainTables() lua.LValue {
	L := p.state.L()
	all := L.NewTable()
	for _, c := range p.set.Chains {
		t, rules := L.NewTable(), L.NewTable()
		for name, v := range map[string]string{"hook": c.Hook, "type": c.Type, "policy": c.Policy, "at": c.Pos.String()} {
			if v != "" {
				t.RawSetString(name, lua.LString(v))
			}
		}
		for _, r := range c.Rules {
			rules.Append(lua.LString(r.Name))
		}
		t.RawSetString("rules", rules)
		all.RawSetString(c.Name, t)
	}
	return all
}

func (p *Policy) streamList() lua.LValue {
	list := p.state.L().NewTable()
	for _, s := range p.set.Streams {
		list.Append(lua.LString(s.Name))
	}
	return list
}

func (p *Policy) detectorTables() lua.LValue {
	L := p.state.L()
	all := L.NewTable()
	for _, d := range p.detectors {
		t, on := L.NewTable(), L.NewTable()
		for _, s := range d.Streams {
			on.Append(lua.LString(s.Name))
		}
		t.RawSetString("on", on)
		t.RawSetString("over", lua.LNumber(d.Spec.Over))
		t.RawSetString("within", lua.LString(d.Spec.Within.String()))
		t.RawSetString("at", lua.LString(d.Pos.String()))
		all.RawSetString(d.Name, t)
	}
	return all
}

func (p *Policy) callbackList() lua.LValue {
	list := p.state.L().NewTable()
	for _, h := range p.handlers {
		list.Append(lua.LString("handler " + h.Name))
	}
	for _, t := range p.timers {
		list.Append(lua.LString("timer " + t.Name))
	}
	return list
}

// Complete lists how the line could go on: its last name, completed.
func (p *Policy) Complete(session, line string) []string {
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.closed {
		return nil
	}
	return p.complete(p.session(session).Session, line)
}
