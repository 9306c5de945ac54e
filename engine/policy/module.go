package policy

import (
	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// module makes the Lua value of a module: it can be read, and knows when a name
// is misspelt or comes too early or too late.
func (p *Policy) module(path string, members []member) lua.LValue {
	L := p.state.L()
	values := L.NewTable()
	for _, m := range members {
		if v := p.memberValue(path, m); v != lua.LNil {
			values.RawSetString(m.Name, v)
		}
	}
	missing := L.NewTable()
	missing.RawSetString("__index", L.NewFunction(func(L *lua.LState) int {
		L.RaiseError("%s", unknownMember(path, members, L.Get(2)))
		return 0
	}))
	values.Metatable = missing
	mt := L.NewTable()
	mt.RawSetString("__metatable", lua.LFalse)
	mt.RawSetString("__index", values)
	mt.RawSetString("__newindex", L.NewFunction(func(L *lua.LState) int {
		L.RaiseError("%s cannot be changed: %s.%s = … is not possible", path, path, L.Get(2))
		return 0
	}))
	mt.RawSetString("__call", L.NewFunction(func(L *lua.LState) int {
		L.RaiseError("%s is a module, not a function: its functions are %s", path, memberList(path, members))
		return 0
	}))
	return &lua.LUserData{Value: moduleObject(path), Metatable: mt}
}

// moduleObject names a module in errors.
type moduleObject string

func (m moduleObject) String() string { return "the module " + string(m) }
func (m moduleObject) usage() string  { return "its functions are " + string(m) + ".NAME" }

func (p *Policy) memberValue(path string, m member) lua.LValue {
	L := p.state.L()
	name := path + "." + m.Name
	switch {
	case m.value != nil:
		return m.value(p)
	case m.declare != nil:
		return L.NewFunction(func(L *lua.LState) int {
			if p.load == nil {
				L.RaiseError("%s declares something, and a policy declares only while it is read: a handler cannot call it", name)
			}
			return m.declare(p.load, L)
		})
	case m.handle != nil:
		return L.NewFunction(func(L *lua.LState) int {
			switch {
			case p.load != nil:
				L.RaiseError("%s works in handlers only: while the policy is read, nothing is in force yet", name)
			case p.readOnly && !m.reads:
				L.RaiseError("%s changes something, and this console only reads: start it with --write", name)
			}
			return m.handle(p, L)
		})
	case m.always != nil:
		return L.NewFunction(func(L *lua.LState) int { return m.always(p, L) })
	}
	return lua.LNil
}

func unknownMember(path string, members []member, key lua.LValue) string {
	name, ok := key.(lua.LString)
	if !ok {
		return path + " has names only, and " + describe(key) + " is none"
	}
	return unknownName(path, members, string(name))
}

func unknownName(path string, members []member, name string) string {
	hint := memberHint(path, name)
	if hint == "" {
		hint = ruleset.Suggest(name, names(members))
	}
	return "unknown name " + path + "." + name + hint
}

// quoted writes nft text as a Lua string.
func quoted(text string) string { return describe(lua.LString(text)) }
