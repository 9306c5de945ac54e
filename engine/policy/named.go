package policy

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// namedObject is a counter, quota, helper or flowtable in a policy. Helpers and
// quotas are configured by a call, flowtables too.
type namedObject struct {
	kind, name string
	object     *ruleset.Object // nil until it is configured
	pos        ruleset.Pos
	configure  func(o *namedObject, l *loader, L *lua.LState) // nil where there is nothing to configure
	form       string
}

func (o *namedObject) String() string     { return fmt.Sprintf("%s %q", o.kind, o.name) }
func (o *namedObject) usage() string      { return "write " + o.form }
func (o *namedObject) ready() bool        { return o.object != nil }
func (o *namedObject) where() ruleset.Pos { return o.pos }

func (o *namedObject) call(p *Policy, L *lua.LState) int {
	l := p.load
	switch {
	case l == nil:
		L.RaiseError("%s is declared while the policy is read: a handler cannot change it", o)
	case o.configure == nil || o.object != nil:
		L.RaiseError("%s is configured already: %s", o, o.usage())
	}
	o.configure(o, l, L)
	L.SetTop(1)
	return 1
}

// is sets what the object is to the kernel.
func (o *namedObject) is(l *loader, object *ruleset.Object) {
	o.object = object
	l.set.Objects = append(l.set.Objects, object)
}

// counterObject stands among a rule's items, and counts.
type counterObject struct{ *namedObject }

func (c counterObject) item() ruleset.Item { return ruleset.Use{Object: c.object} }

func (l *loader) declare(L *lua.LState, kind, form string) *namedObject {
	o := &namedObject{kind: kind, name: stringArg(L, 1, form), pos: l.here(), form: form}
	noMore(L, 1, form)
	return o
}

// newCounter is fw.counter.
func (l *loader) newCounter(L *lua.LState) int {
	o := l.declare(L, "counter", `fw.counter "name"`)
	o.is(l, ruleset.NewCounter(o.name, o.pos))
	L.Push(l.wrap(counterObject{o}))
	return 1
}

// newQuota is fw.quota.
func (l *loader) newQuota(L *lua.LState) int {
	o := l.declare(L, "quota", `fw.quota "name" "10 mbytes"`)
	l.unready = append(l.unready, o)
	o.configure = func(o *namedObject, l *loader, L *lua.LState) {
		q, err := quota(value{LValue: L.Get(2), pos: l.here()})
		if err != nil {
			L.RaiseError("%s: %v", o, err)
		}
		o.is(l, ruleset.NewQuota(o.name, q, o.pos))
	}
	L.Push(l.wrap(o))
	return 1
}

// helperObject stands among a rule's items, and has a helper follow the connection.
type helperObject struct{ *namedObject }

func (h helperObject) item() ruleset.Item { return ruleset.Use{Object: h.object} }

// helperOptions are those of fw.helper "name" { … }.
type helperSpec struct{ typ, proto string }

func helperOptions() []option[*helperSpec] {
	return []option[*helperSpec]{
		{Entry{Name: "type", Takes: "ftp, tftp, sip, irc, h323 (Q.931, RAS), pptp, snmp, amanda, sane, netbios-ns", Doc: "the kernel's name of the helper; default the object's name", Example: `fw.helper "ftp" { type = "ftp", protocol = "tcp" }`},
			func(_ *loader, h *helperSpec, v value) (err error) {
				h.typ, err = oneOf(v, "ftp", "tftp", "sip", "irc", "Q.931", "RAS", "pptp", "snmp", "snmp_trap", "amanda", "sane", "netbios-ns")
				return err
			}},
		{Entry{Name: "protocol", Takes: `"tcp" or "udp"`, Doc: `the protocol that it reads; default "tcp"`, Example: `fw.helper "tftp" { protocol = "udp" }`},
			func(_ *loader, h *helperSpec, v value) (err error) {
				h.proto, err = oneOf(v, "tcp", "udp")
				return err
			}},
	}
}

// newHelper is fw.helper.
func (l *loader) newHelper(L *lua.LState) int {
	o := l.declare(L, "helper", `fw.helper "ftp" { protocol = "tcp" }`)
	l.unready = append(l.unready, o)
	o.configure = func(o *namedObject, l *loader, L *lua.LState) {
		t := l.table(L, 2, o.form)
		spec := helperSpec{o.name, "tcp"}
		l.noItems(o.String(), t)
		fill(l, o.String(), t, helperOptions(), &spec)
		o.is(l, ruleset.NewHelper(o.name, spec.typ, spec.proto, o.pos))
	}
	L.Push(l.wrap(helperObject{o}))
	return 1
}

type flowtableSpec struct {
	devices []string
	offload bool
}

func flowtableOptions() []option[*flowtableSpec] {
	return []option[*flowtableSpec]{
		{Entry{Name: "devices", Takes: "names of interfaces", Doc: "the interfaces between which connections are sped up", Example: `fw.flowtable "fast" { devices = { "lo" } }`},
			func(_ *loader, f *flowtableSpec, v value) error {
				return each(v, func(v value) error {
					name, err := text(v)
					if err == nil && (len(name) > 15 || strings.ContainsAny(name, "\"/\\*\n ")) {
						err = fmt.Errorf("%q is no name of an interface", name)
					}
					f.devices = append(f.devices, name)
					return err
				})
			}},
		{Entry{Name: "offload", Takes: "true or false", Doc: "whether the network cards do it, where they can; default false", Example: `fw.flowtable "fast" { devices = { "lo" }, offload = false }`},
			func(_ *loader, f *flowtableSpec, v value) error {
				b, ok := v.LValue.(lua.LBool)
				f.offload = bool(b)
				if !ok {
					return fmt.Errorf("true or false is expected, not %s", describe(v.LValue))
				}
				return nil
			}},
	}
}

// flowtableObject is given to fw.flow.
type flowtableObject struct{ *namedObject }

// newFlowtable is fw.flowtable.
func (l *loader) newFlowtable(L *lua.LState) int {
	o := l.declare(L, "flowtable", `fw.flowtable "fast" { devices = { "eth0", "eth1" } }`)
	l.unready = append(l.unready, o)
	o.configure = func(o *namedObject, l *loader, L *lua.LState) {
		t := l.table(L, 2, o.form)
		var spec flowtableSpec
		l.noItems(o.String(), t)
		fill(l, o.String(), t, flowtableOptions(), &spec)
		if len(spec.devices) == 0 {
			l.report(t.pos, "%s has no devices: %s", o, o.usage())
		}
		o.is(l, ruleset.NewFlowtable(o.name, spec.devices, spec.offload, o.pos))
	}
	L.Push(l.wrap(flowtableObject{o}))
	return 1
}

// flow is fw.flow.
func flow(l *loader, L *lua.LState) int {
	const form = `fw.flow(flowtable)`
	f, ok := unwrap[flowtableObject](L.Get(1))
	noMore(L, 1, form)
	if !ok || !f.ready() {
		L.RaiseError("%s is expected, not %s", form, got(L, 1))
	}
	L.Push(l.wrap(word{"fw.flow", ruleset.Use{Object: f.object}}))
	return 1
}

// add is fw.add.
func add(l *loader, L *lua.LState) int {
	const form = `fw.add(set, "src", "1h")`
	s, ok := unwrap[*setObject](L.Get(1))
	if !ok {
		L.RaiseError("%s is expected, and argument 1 is %s", form, got(L, 1))
	}
	s.used = true
	if !s.set.Dynamic {
		L.RaiseError("%s is not filled by packets: declare it so, fw.set %q { dynamic = true, timeout = \"1h\" }", s, s.set.Name)
	}
	noMore(L, 3, form)
	by, err := oneOf(value{LValue: L.Get(2)}, "src", "dst")
	if err != nil {
		L.RaiseError("fw.add: %v", err)
	}
	var timeout time.Duration
	if L.GetTop() > 2 {
		if timeout, err = duration(L.Get(3)); err != nil {
			L.RaiseError("fw.add: %v", err)
		}
	}
	L.Push(l.wrap(word{"fw.add", ruleset.Add{Set: s.set, By: ruleset.Key(by), Timeout: timeout}}))
	return 1
}

// raw is fw.nft.
func raw(l *loader, L *lua.LState) int {
	const form = `fw.nft [[ set x { type mark; } ]]`
	text := stringArg(L, 1, form)
	noMore(L, 1, form)
	pos := l.here()
	if strings.Contains(text, "\n") {
		pos.Line++ // the call's own line ends with [[, and Lua drops that line break
	}
	l.set.Raw = append(l.set.Raw, ruleset.Raw{Text: text, Pos: pos})
	return 0
}

// maxDynamic bounds a set that packets fill, so that a flood costs the kernel
// no more than about a gigabyte.
const maxDynamic = 1 << 22

// dynamicOptions are the options of sets that packets fill.
func dynamicOptions() []option[*setContent] {
	return []option[*setContent]{
		{Entry{Name: "dynamic", Takes: "true", Doc: "packets fill the set, by fw.add", Example: `fw.set "seen" { dynamic = true, timeout = "1h" }`},
			func(_ *loader, c *setContent, v value) error {
				if v.LValue != lua.LTrue {
					return fmt.Errorf("true is expected, not %s", describe(v.LValue))
				}
				c.dynamic = true
				return nil
			}},
		{Entry{Name: "timeout", Takes: "time", Doc: "how long an address stays that fw.add gives no time; default for good", Example: `fw.set "seen" { dynamic = true, timeout = "1h" }`},
			func(_ *loader, c *setContent, v value) (err error) {
				c.timeout, err = duration(v.LValue)
				return err
			}},
		{Entry{Name: "size", Takes: "number", Doc: "the most addresses of each family; default 65535", Example: `fw.set "seen" { dynamic = true, size = 1000 }`},
			func(_ *loader, c *setContent, v value) (err error) {
				c.size, err = whole(v, 1, maxDynamic)
				return err
			}},
		{Entry{Name: "keep", Takes: "true", Doc: "each apply takes over what the set holds in the generation in force, with what is left of their times", Example: `fw.set "seen" { dynamic = true, timeout = "1h", keep = true }`},
			func(_ *loader, c *setContent, v value) error {
				if v.LValue != lua.LTrue {
					return fmt.Errorf("true is expected, not %s", describe(v.LValue))
				}
				c.keep = true
				return nil
			}},
	}
}

// fillDynamic configures a set that packets fill.
func (c setContent) fillDynamic(s *ruleset.Set, t table) error {
	if !c.dynamic {
		return errors.New("only a set that packets fill has a timeout, a size and keep: add dynamic = true")
	}
	if c.keep && c.size > ruleset.MaxKept {
		return fmt.Errorf("a set that is kept has room for %d addresses at most, and its size is %d", ruleset.MaxKept, c.size)
	}
	if t.length() > 0 || c.file != "" {
		return errors.New("packets fill it, so nothing else can")
	}
	s.Dynamic, s.Timeout, s.Size, s.Keep = true, c.timeout, min(c.size, math.MaxInt32), c.keep
	return nil
}
