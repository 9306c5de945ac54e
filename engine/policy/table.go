package policy

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// table is a Lua table that a policy handed over, with what the source says about it.
type table struct {
	*lua.LTable
	pos ruleset.Pos // of the call
	lit *literal    // nil when not known
}

// value is a Lua value with what the source says about it.
type value struct {
	lua.LValue
	pos ruleset.Pos
	lit *literal // of a table literal, or nil
}

// pairs yields a table's entries in the order in which they were set.
func pairs(t *lua.LTable) iter.Seq2[lua.LValue, lua.LValue] {
	return func(yield func(k, v lua.LValue) bool) {
		for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
			if !yield(k, v) {
				return
			}
		}
	}
}

// length is the number of positional items, those that are nil included where
// the source tells of them.
func (t table) length() int {
	n := t.MaxN()
	if t.lit != nil {
		n = max(n, len(t.lit.items))
	}
	return n
}

// item returns the positional item i, counted from 1.
func (t table) item(i int) value {
	v := value{LValue: t.RawGetInt(i), pos: t.pos}
	if t.lit != nil && i <= len(t.lit.items) {
		v = v.at(t.lit.items[i-1])
	}
	return v
}

// field returns the value of a named field.
func (t table) field(name string) value {
	v := value{LValue: t.RawGetString(name), pos: t.pos}
	if t.lit != nil {
		if p, ok := t.lit.fields[name]; ok {
			v = v.at(p)
		}
	}
	return v
}

func (v value) at(p part) value {
	v.pos.Line, v.lit = p.line, p.table
	return v
}

// names lists the named fields, in the order in which they were set, then those
// that the author wrote but that are nil.
func (t table) names() (set, missing []string) {
	seen := map[string]bool{}
	for k := range pairs(t.LTable) {
		if name, ok := k.(lua.LString); ok {
			set = append(set, string(name))
			seen[string(name)] = true
		}
	}
	if t.lit != nil {
		for name := range t.lit.fields {
			if !seen[name] {
				missing = append(missing, name)
			}
		}
	}
	slices.Sort(missing)
	return set, missing
}

// strays lists the keys that are neither names nor positions.
func (t table) strays() []lua.LValue {
	var out []lua.LValue
	n := t.MaxN()
	for k := range pairs(t.LTable) {
		switch k := k.(type) {
		case lua.LString:
		case lua.LNumber:
			if i := int(k); lua.LNumber(i) != k || i < 1 || i > n {
				out = append(out, k)
			}
		default:
			out = append(out, k)
		}
	}
	return out
}

// asTable returns a value that is a table as one.
func asTable(v value) (table, bool) {
	t, ok := v.LValue.(*lua.LTable)
	return table{LTable: t, pos: v.pos, lit: v.lit}, ok
}

// The bounds of a list: it can hold itself, and the same list many times.
const (
	maxNesting = 16
	maxItems   = 1 << 20 // those of the lists in it included
)

// each calls f with every scalar of a value: itself, or the items of a list,
// nested or not. It goes on after a mistake, for as many as are reported, and joins them all.
func each(v value, f func(value) error) error {
	e := lister{f: f, left: maxItems}
	e.visit(v, 0)
	return errors.Join(e.errs...)
}

// lister is one call of each.
type lister struct {
	f    func(value) error
	left int // items that may still come
	errs []error
}

// visit reports false where there is no end of it.
func (e *lister) visit(v value, depth int) bool {
	bad := func(err error) { e.errs = append(e.errs, v.place(err)) }
	list, ok := v.LValue.(*lua.LTable)
	if !ok {
		if err := e.f(v); err != nil {
			bad(err)
		}
		return len(e.errs) < maxMistakes
	}
	if depth == maxNesting {
		bad(fmt.Errorf("lists are nested deeper than %d", maxNesting))
		return false
	}
	t := table{LTable: list, pos: v.pos, lit: v.lit}
	if names, _ := t.names(); len(names) > 0 {
		bad(fmt.Errorf("a list is expected here, and this table has a field %q", names[0]))
		return true
	}
	if strays := t.strays(); len(strays) > 0 {
		bad(fmt.Errorf("a list is expected here, and this table has a key that is %s", describe(strays[0])))
		return true
	}
	for i := 1; i <= t.length(); i++ {
		item := t.item(i)
		if e.left--; e.left < 0 {
			bad(fmt.Errorf("lists in lists hold more than %d items", maxItems))
			return false
		}
		if item.LValue == lua.LNil {
			e.errs = append(e.errs, item.place(fmt.Errorf("item %d of the list is nil: a misspelt name?", i)))
			break // a far key, as in [80] = true, leaves a long gap
		}
		if !e.visit(item, depth+1) {
			return false
		}
	}
	return true
}

// place gives err the value's place, unless it has one already.
func (v value) place(err error) error {
	if err == nil {
		return nil
	}
	var placed *placedError
	if errors.As(err, &placed) {
		return err
	}
	return &placedError{pos: v.pos, err: err}
}

// describe says what a value is, for an error.
func describe(v lua.LValue) string {
	switch v := v.(type) {
	case lua.LString:
		return fmt.Sprintf("%.80q", string(v))
	case lua.LNumber:
		return "the number " + v.String()
	case lua.LBool:
		return v.String()
	case *lua.LTable:
		return "a table"
	case *lua.LFunction:
		return "a function"
	case *lua.LUserData:
		if o, ok := v.Value.(object); ok {
			return o.String()
		}
	}
	return v.Type().String()
}
