package policy

import (
	"errors"
	"fmt"
	"net"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// mapObject is a map in a policy, which a call with a table fills.
type mapObject struct {
	m      *ruleset.Map
	filled bool
}

func (m *mapObject) String() string { return fmt.Sprintf("map %q", m.m.Name) }
func (m *mapObject) usage() string {
	return fmt.Sprintf(`write fw.map %q { [80] = "192.0.2.80" }, and give it to fw.dnat, fw.snat, fw.mark or fw.ctmark`, m.m.Name)
}
func (m *mapObject) ready() bool        { return m.filled }
func (m *mapObject) where() ruleset.Pos { return m.m.Pos }

// newMap is fw.map.
func (l *loader) newMap(L *lua.LState) int {
	form := `fw.map "name" { [80] = "192.0.2.80" }`
	m := &mapObject{m: &ruleset.Map{Name: stringArg(L, 1, form), By: ruleset.KeyDport, Pos: l.here()}}
	noMore(L, 1, form)
	l.unready = append(l.unready, m)
	L.Push(l.wrap(m))
	return 1
}

func (m *mapObject) call(p *Policy, L *lua.LState) int {
	l := p.load
	switch {
	case l == nil:
		L.RaiseError("%s is filled while the policy is read: a handler cannot change it", m)
	case m.filled:
		L.RaiseError("%s is filled already, and a map is filled once", m)
	}
	t := l.table(L, 2, fmt.Sprintf(`fw.map %q { [80] = "192.0.2.80" }`, m.m.Name))
	m.filled = true
	before := l.count
	l.mapEntries(m.String(), t, &m.m.By, func(key ruleset.Value, v value) error {
		to, err := mapValue(v)
		if n := len(m.m.Entries); err == nil && n > 0 && kindOf(to) != kindOf(m.m.Entries[0].To) {
			err = fmt.Errorf("it gives %s here and %s before: a map gives one kind of thing", kindOf(to), kindOf(m.m.Entries[0].To))
		}
		m.m.Entries = append(m.m.Entries, ruleset.Entry{Key: key, To: to})
		return err
	})
	switch {
	case l.count > before:
	case len(m.m.Entries) == 0:
		l.report(t.pos, "%s is empty: %s", m, m.usage())
	default:
		l.set.Maps = append(l.set.Maps, m.m)
	}
	L.SetTop(1)
	return 1
}

// mapEntries reads a table whose keys are values of what its field "by" names.
func (l *loader) mapEntries(what string, t table, by *ruleset.Key, entry func(ruleset.Value, value) error) {
	if v := t.field("by"); v.LValue != lua.LNil {
		k, err := readKey(v)
		l.reportAll(v.pos, what+": by: ", err)
		*by = k
		if err != nil {
			return
		}
	}
	_, missing := t.names()
	for _, name := range missing {
		l.report(t.field(name).pos, "%s: what is given for %s is nil: a misspelt name?", what, quoted(name))
	}
	for k, v := range pairs(t.LTable) {
		pos := t.pos
		if name, ok := k.(lua.LString); ok {
			if name == "by" {
				continue
			}
			pos = t.field(string(name)).pos
		}
		key, err := keyValue(*by, k)
		if err == nil {
			err = entry(key, value{LValue: v, pos: pos})
		}
		l.reportAll(pos, fmt.Sprintf("%s: %s: ", what, describe(k)), err)
	}
}

func readKey(v value) (ruleset.Key, error) {
	var words []string
	for _, k := range ruleset.Keys() {
		words = append(words, string(k))
	}
	s, err := oneOf(v, words...)
	return ruleset.Key(s), err
}

// keyValue reads one value of a key.
func keyValue(by ruleset.Key, v lua.LValue) (ruleset.Value, error) {
	switch {
	case by.IsAddress():
		r, err := address(v)
		if err != nil {
			return ruleset.Value{}, err
		}
		return ruleset.AddrValue(r), nil
	case by.IsPort():
		r, err := port(v, "tcp")
		return ruleset.PortValue(r), err
	case by == ruleset.KeyProto:
		n, err := protocol(v)
		return ruleset.NumberValue(ruleset.Range{From: uint64(n), To: uint64(n)}), err
	case by == ruleset.KeyMark:
		r, err := numberRange(v, ruleset.Mark.Max(), nil)
		return ruleset.NumberValue(r), err
	}
	s, ok := v.(lua.LString)
	if by == ruleset.KeyMAC {
		a, err := net.ParseMAC(string(s))
		if !ok || err != nil || len(a) != 6 {
			return ruleset.Value{}, fmt.Errorf("%s is no Ethernet address, such as \"00:00:5e:00:53:01\"", describe(v))
		}
		return ruleset.MACValue(a.String()), nil
	}
	if !ok || s == "" || len(s) > 15 || strings.ContainsAny(string(s), "\"/\\*\n ") {
		return ruleset.Value{}, fmt.Errorf("%s is no name of an interface", describe(v))
	}
	return ruleset.NameValue(string(s)), nil
}

// mapValue reads what a map gives: an address, { address, port }, or a mark.
func mapValue(v value) ([]ruleset.Value, error) {
	if list, ok := v.LValue.(*lua.LTable); ok {
		t := table{LTable: list, pos: v.pos, lit: v.lit}
		if set, _ := t.names(); t.length() != 2 || len(set) > 0 {
			return nil, errors.New(`an address and its port are expected: { "192.0.2.80", 8080 }`)
		}
		to, err := mapValue(t.item(1))
		if err != nil || kindOf(to) != "addresses" {
			return nil, fmt.Errorf("%s is no address", describe(t.item(1).LValue))
		}
		r, err := port(t.item(2).LValue, "tcp")
		if err == nil && r.From != r.To {
			err = fmt.Errorf("%s is more than one port", describe(t.item(2).LValue))
		}
		return append(to, ruleset.PortValue(r)), err
	}
	if _, ok := v.LValue.(lua.LNumber); ok {
		r, err := numberRange(v.LValue, ruleset.Mark.Max(), nil)
		return []ruleset.Value{ruleset.NumberValue(r)}, err
	}
	r, err := address(v.LValue)
	if err != nil {
		return nil, fmt.Errorf("an address, { address, port } or a mark is expected, not %s", describe(v.LValue))
	}
	if r.From() != r.To() {
		return nil, fmt.Errorf("%s is more than one address", describe(v.LValue))
	}
	return []ruleset.Value{ruleset.HostValue(r.From())}, nil
}

func kindOf(to []ruleset.Value) string {
	switch {
	case len(to) > 1:
		return "addresses with ports"
	case len(to) == 1 && to[0].IsAddress():
		return "addresses"
	}
	return "marks"
}

// lookup makes the item that does something with what a map gives.
func lookupIn(do string, m *mapObject) (ruleset.Item, error) {
	gives := "marks"
	switch {
	case len(m.m.Entries) == 0:
		return nil, fmt.Errorf("%s has no content yet: %s", m, m.usage())
	case m.m.ToAddresses():
		gives = "addresses"
	}
	if wants := wanted(do); wants != gives {
		return nil, fmt.Errorf("%s gives %s, and %s are expected", m, gives, wants)
	}
	return ruleset.Lookup{Do: do, In: m.m}, nil
}

func wanted(do string) string {
	if do == ruleset.MapDNAT || do == ruleset.MapSNAT {
		return "addresses"
	}
	return "marks"
}

// vmap is fw.vmap.
func vmap(l *loader, L *lua.LState) int {
	form := `fw.vmap { [80] = web, [22] = ssh_in }`
	t := l.table(L, 1, form)
	noMore(L, 1, form)
	d := ruleset.Dispatch{By: ruleset.KeyDport}
	before := l.count
	l.mapEntries("fw.vmap", t, &d.By, func(key ruleset.Value, v value) error {
		to, err := verdictOf(v.LValue)
		d.Branches = append(d.Branches, ruleset.Branch{Key: key, To: to})
		return err
	})
	if len(d.Branches) == 0 && l.count == before {
		l.report(t.pos, "fw.vmap is empty: write for example %s", form)
	}
	L.Push(l.wrap(word{"fw.vmap", d}))
	return 1
}

// verdictOf reads a verdict, or a chain to jump to.
func verdictOf(v lua.LValue) (ruleset.Verdict, error) {
	if c, ok := unwrap[*chainObject](v); ok {
		return ruleset.Verdict{Kind: "jump", To: c.chain}, nil
	}
	if it, ok := unwrap[item](v); ok {
		if verdict, ok := it.item().(ruleset.Verdict); ok && verdict.Kind != "reject" {
			return verdict, nil
		}
	}
	return ruleset.Verdict{}, fmt.Errorf("a chain or a verdict (accept, drop, continue, return_, fw.jump, fw.goto_) is expected, not %s", describe(v))
}
