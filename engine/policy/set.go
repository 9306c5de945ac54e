package policy

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	lua "github.com/yuin/gopher-lua"
	"go4.org/netipx"

	"moonlatch/engine/ruleset"
)

// maxListMistakes bounds the bad lines of one list file that are reported.
const maxListMistakes = 20

// setObject is a set in a policy, which a call with a table fills.
type setObject struct {
	set    *ruleset.Set
	tuples *ruleset.TupleSet // instead, of a set of several parts
	filled bool
	used   bool // something asks for it
}

func (s *setObject) String() string {
	if s.set.Feed {
		return fmt.Sprintf("feed %q", s.set.Name)
	}
	return fmt.Sprintf("set %q", s.set.Name)
}

func (s *setObject) usage() string {
	if s.set.Feed {
		return "write " + feedForm
	}
	return fmt.Sprintf(`write fw.set %q { "192.0.2.0/24" }`, s.set.Name)
}
func (s *setObject) ready() bool        { return s.filled }
func (s *setObject) where() ruleset.Pos { return s.set.Pos }

func (s *setObject) content() string {
	switch {
	case s.tuples != nil:
		return "items of several parts"
	case s.set.IsPorts():
		return "ports"
	}
	return "addresses"
}

// holds checks that the set can be used where content ("addresses" or "ports") is expected.
func (s *setObject) holds(content string) error {
	s.used = true
	switch {
	case !s.filled:
		return fmt.Errorf("%s has no content yet: %s", s, s.usage())
	case s.content() != content:
		return fmt.Errorf("%s holds %s, and %s are expected", s, s.content(), content)
	}
	return nil
}

// set is fw.set.
func (l *loader) newSet(L *lua.LState) int {
	form := `fw.set "name" { "192.0.2.0/24" }`
	s := &setObject{set: &ruleset.Set{Name: stringArg(L, 1, form), Addrs: &ruleset.Addresses{}, Pos: l.here()}}
	noMore(L, 1, form)
	l.set.Sets = append(l.set.Sets, s.set)
	l.unready, l.sets = append(l.unready, s), append(l.sets, s)
	L.Push(l.wrap(s))
	return 1
}

func (s *setObject) call(p *Policy, L *lua.LState) int {
	l := p.load
	switch {
	case l == nil:
		L.RaiseError("%s is filled while the policy is read: a handler cannot change it", s)
	case s.filled:
		L.RaiseError("%s is filled already, and a set is filled once", s)
	}
	t := l.table(L, 2, s.usage()[len("write "):])
	s.filled = true
	if s.set.Feed {
		l.configureFeed(s, t)
		L.SetTop(1)
		return 1
	}
	c := setContent{items: value{LValue: t.LTable, pos: t.pos, lit: t.lit}}
	before := l.count
	fill(l, s.String(), t, setOptions(), &c)
	if l.count == before || len(c.of) == 0 { // items make no sense where their parts do not
		l.reportAll(t.pos, s.String()+": ", l.fillSet(s, t, c))
	}
	L.SetTop(1)
	return 1
}

// setContent is what a set is filled with.
type setContent struct {
	items value
	file  string
	data  []byte
	of    []ruleset.Key

	countries []string
	networks  []uint32

	dynamic bool
	timeout time.Duration
	size    int
	keep    bool
}

func setOptions() []option[*setContent] {
	list := []option[*setContent]{
		{Entry{Name: "file", Takes: "name of a file in the policy's folder", Doc: "a list to take in: one address, prefix, range or port a line, # starts a comment", Example: `fw.set "feed" { file = "lists/drop.txt" }`},
			func(l *loader, c *setContent, v value) error {
				name, err := text(v)
				if err != nil {
					return err
				}
				c.file = name
				c.data, err = l.state.ReadFile(name)
				return err
			}},
		keyOption(),
	}
	return slices.Concat(list, geoSetOptions(), dynamicOptions())
}

// fillSet reads the set's items and lines. The first of them says what it holds.
func (l *loader) fillSet(o *setObject, t table, c setContent) error {
	s := o.set
	switch {
	case c.placed() && (len(c.of) > 0 || c.dynamic):
		return errors.New("countries and networks fill only a set of addresses that nothing else changes")
	case len(c.of) > 0:
		return l.fillTuples(o, t, c)
	case c.dynamic || c.timeout > 0 || c.size > 0 || c.keep:
		return c.fillDynamic(s, t)
	}
	items := positional(t)
	if isPort(items, c.data) {
		if c.placed() {
			return errors.New("it holds ports, and countries and networks have addresses")
		}
		s.Addrs = nil
		return l.fillPorts(s, items, c)
	}
	plain, sets, err := addresses(items)
	if err != nil {
		return err
	}
	b := ruleset.AddressesBuilder{Expected: bytes.Count(c.data, []byte("\n")) + 1}
	add := func(ranges iter.Seq[netipx.IPRange]) {
		for r := range ranges {
			b.Add(r)
		}
	}
	if plain != nil {
		add(slices.Values(plain.Ranges()))
	}
	for _, o := range sets {
		if o.Changes() {
			return errDynamic(o)
		}
		add(o.Addrs.Ranges())
	}
	l.eachLine(c, func(text string) error {
		r, err := parseAddress(text)
		if err == nil {
			b.Add(r)
		}
		return err
	})
	err = l.addPlaces(c, b.Add)
	s.Addrs = b.Addresses()
	return err
}

func (l *loader) fillPorts(s *ruleset.Set, items value, c setContent) error {
	ranges, sets, err := ports(items, "tcp")
	for _, o := range sets {
		ranges = append(ranges, o.Ports...)
	}
	l.eachLine(c, func(text string) error {
		r, err := parsePort(text, "tcp")
		if err == nil {
			ranges = append(ranges, r)
		}
		return err
	})
	s.Ports = mergePorts(ranges)
	return err
}

// eachLine calls f with the lines of the set's file and reports what it finds
// there, at the lines themselves.
func (l *loader) eachLine(c setContent, f func(text string) error) {
	bad := 0
	for number, text := range listLines(c.data) {
		err := f(text)
		if err == nil {
			continue
		}
		pos := ruleset.Pos{File: c.file, Line: number}
		if bad++; bad > maxListMistakes {
			l.report(pos, "and more bad lines behind this one")
			return
		}
		l.report(pos, "%v", err)
	}
}

// positional is the list of a table's items without its named fields.
func positional(t table) value {
	list := &lua.LTable{}
	for i := 1; i <= t.length(); i++ {
		list.RawSetInt(i, t.RawGetInt(i))
	}
	v := value{LValue: list, pos: t.pos}
	if t.lit != nil {
		v.lit = &literal{items: t.lit.items, open: t.lit.open}
	}
	return v
}

// isPort reports whether the first of the items, or else of the lines, is a port.
func isPort(items value, data []byte) bool {
	first := items.LValue
	for range maxNesting { // a list can hold itself
		if list, ok := first.(*lua.LTable); ok {
			first = list.RawGetInt(1)
		}
	}
	switch v := first.(type) {
	case lua.LNumber:
		return true
	case lua.LString:
		return portText(string(v))
	}
	if s, ok := unwrap[*setObject](first); ok {
		return s.set.IsPorts()
	}
	if first == lua.LNil {
		for _, line := range listLines(data) {
			return portText(line)
		}
	}
	return false
}

// portText reports whether s can only be a port: no address looks so.
func portText(s string) bool {
	if _, err := parseAddress(s); err == nil {
		return false
	}
	_, err := parsePort(s, "tcp")
	return err == nil
}
