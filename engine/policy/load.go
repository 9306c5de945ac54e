package policy

import (
	"io/fs"
	"log/slog"
	"maps"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
	"go4.org/netipx"

	"moonlatch/engine/lint"
	"moonlatch/engine/policy/sandbox"
	"moonlatch/engine/ruleset"
)

// Load reads the policy in the entry file, and the modules and lists that it
// asks for, all from the folder files. The error joins every mistake found,
// *ruleset.Error or *sandbox.Error, each with its place.
func Load(files fs.FS, entry string, env Env) (*Policy, error) {
	return load(sandbox.Config{Files: files, Undefined: nameHint}, entry, env)
}

func load(cfg sandbox.Config, entry string, env Env) (*Policy, error) {
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Actions == nil {
		env.Actions = noActions{}
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	p := &Policy{
		env:      env,
		state:    sandbox.New(cfg),
		set:      &ruleset.Ruleset{Policy: entry},
		watchdog: Watchdog{Confirm: time.Minute, Fallback: "previous", Drift: "heal"},
		notices:  newNotices(),
	}
	p.geo.open = env.OpenGeo
	p.objects = p.objectMetatable()
	p.events = newEvents(p)
	l := &loader{Policy: p, fields: ruleFields(), names: map[string]ruleset.Pos{}, resolved: map[string][]byte{}}
	l.literals.source = func(file string) []byte { return p.state.Files()[file] }
	p.load = l
	p.state.Provide("moonlatch", p.module("fw", moduleMembers()))
	p.state.Describe("moonlatch", moduleShape())
	err := p.state.Run(entry)
	if err := l.finish(err); err != nil {
		p.Close()
		return nil, err
	}
	p.load, p.files = nil, p.state.Files()
	maps.Copy(p.files, l.resolved)
	return p, nil
}

// loader is a policy while it is read.
type loader struct {
	*Policy
	mistakes
	literals literals
	fields   []ruleField
	protects netipx.IPSetBuilder
	names    map[string]ruleset.Pos // of what must be unique: "detector portscan"
	watched  bool
	resolved map[string][]byte // what names resolved to, as files
	unready  []declaration     // what was named and waits for its table
	sets     []*setObject
}

// declaration is an object that is of no use without its table.
type declaration interface {
	object
	ready() bool
	where() ruleset.Pos
}

// finish checks the policy as a whole, after Run returned err.
func (l *loader) finish(err error) error {
	rest := l.misspelt(err)
	if err != nil {
		return l.err(rest) // what follows would only repeat that half of the policy is missing
	}
	for _, d := range l.unready {
		if !d.ready() {
			l.report(d.where(), "%s is named but never filled: %s", d, d.usage())
		}
	}
	protected, err := l.protects.IPSet()
	if err != nil {
		return err
	}
	l.set.Protected = protected.Prefixes()
	l.reportAll(ruleset.Pos{}, "", l.set.Validate())
	if loop := lint.Loop(l.set); loop != nil && l.count == 0 {
		var names []string
		for _, c := range loop {
			names = append(names, c.Name)
		}
		l.report(loop[0].Pos, "chain %q leads to itself, %s: a packet would never come out of it, and the kernel refuses that", loop[0].Name, strings.Join(names, " -> "))
	}
	if err := l.err(); err != nil {
		return err
	}
	l.notified()
	l.warnings = l.warn()
	return nil
}

// here is the place of the running call in the policy.
func (p *Policy) here() ruleset.Pos {
	file, line := p.state.Where(1)
	return ruleset.Pos{File: file, Line: line}
}

// unique notes a name and reports whether it can be used.
func (l *loader) unique(pos ruleset.Pos, kind, name string) bool {
	if reason := ruleset.BadName(name); reason != "" {
		l.report(pos, "%s name %q %s", kind, name, reason)
		return false
	}
	if first, ok := l.names[kind+" "+name]; ok {
		l.report(pos, "%s %q is declared twice, first at %s", kind, name, first)
		return false
	}
	l.names[kind+" "+name] = pos
	return true
}

// table reads the table that an object or function was called with.
func (l *loader) table(L *lua.LState, n int, form string) table {
	t, ok := L.Get(n).(*lua.LTable)
	if !ok {
		L.RaiseError("%s is expected, not %s", form, got(L, n))
	}
	pos := l.here()
	return table{LTable: t, pos: pos, lit: l.literals.find(pos, callee(L), t)}
}

// callee names what the policy called to get here.
func callee(L *lua.LState) string {
	frame, ok := L.GetStack(0)
	if !ok {
		return ""
	}
	if _, err := L.GetInfo("n", frame, lua.LNil); err != nil {
		return ""
	}
	return frame.Name
}

// value reads an argument that may be a list.
func (l *loader) value(L *lua.LState, n int) value {
	v := value{LValue: L.Get(n), pos: l.here()}
	if t, ok := v.LValue.(*lua.LTable); ok {
		v.lit = l.literals.find(v.pos, callee(L), t)
	}
	return v
}

// fill reads the named fields of a table into what it configures.
func fill[T any](l *loader, what string, t table, options []option[T], target T) {
	set, missing := t.names()
	for _, name := range set {
		v := t.field(name)
		o := lookup(options, name)
		switch {
		case o == nil:
			l.report(v.pos, "unknown field %q in %s%s", name, what, ruleset.Suggest(name, names(options)))
		default:
			l.reportAll(v.pos, what+": "+name+": ", o.set(l, target, v))
		}
	}
	for _, name := range missing {
		l.report(t.field(name).pos, "%s: %s is nil: a misspelt name?", what, name)
	}
	for _, k := range t.strays() {
		l.report(t.pos, "%s: a key cannot be %s", what, describe(k))
	}
}

// noItems refuses positional items in a table that has only named fields.
func (l *loader) noItems(what string, t table) {
	for i := 1; i <= t.length(); i++ {
		v := t.item(i)
		l.report(v.pos, "%s: its table holds only name = value, and item %d is %s", what, i, describe(v.LValue))
	}
}
