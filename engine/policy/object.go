package policy

import (
	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// object is what the module hands to a policy: a chain, a set, a verdict. Lua
// sees it as a userdata that can at most be called.
type object interface {
	String() string // what it is, for an error: `chain "input"`
	usage() string  // how it is meant to be used, for an error
}

// callable is an object that a policy calls: chain { … }.
type callable interface {
	object
	call(p *Policy, L *lua.LState) int // its own value is argument 1
}

// fielded is an object with fields, such as its methods. It raises an error for a field that it does not have.
type fielded interface {
	object
	field(L *lua.LState, name string) lua.LValue
}

// item is an object that stands among a rule's items.
type item interface {
	object
	item() ruleset.Item
}

// wrap makes the Lua value of an object.
func (p *Policy) wrap(o object) lua.LValue {
	return &lua.LUserData{Value: o, Metatable: p.objects}
}

// unwrap returns the object of type T behind a Lua value.
func unwrap[T object](v lua.LValue) (T, bool) {
	if u, ok := v.(*lua.LUserData); ok {
		o, ok := u.Value.(T)
		return o, ok
	}
	var none T
	return none, false
}

// objectMetatable is the metatable of all objects.
func (p *Policy) objectMetatable() *lua.LTable {
	L := p.state.L()
	mt := L.NewTable()
	mt.RawSetString("__metatable", lua.LFalse)
	mt.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LString(self(L).String()))
		return 1
	}))
	mt.RawSetString("__call", L.NewFunction(func(L *lua.LState) int {
		o := self(L)
		if c, ok := o.(callable); ok {
			return c.call(p, L)
		}
		L.RaiseError("%s cannot be called: %s", o, o.usage())
		return 0
	}))
	mt.RawSetString("__index", L.NewFunction(func(L *lua.LState) int {
		o := self(L)
		if f, ok := o.(fielded); ok {
			L.Push(f.field(L, lua.LVAsString(L.Get(2))))
			return 1
		}
		L.RaiseError("%s has no field %s: %s", o, describe(L.Get(2)), o.usage())
		return 0
	}))
	for name, reason := range map[string]string{"__len": "%s has no length: %s", "__concat": "%s is no text: %s"} {
		mt.RawSetString(name, L.NewFunction(func(L *lua.LState) int {
			o := self(L)
			if u, ok := L.Get(2).(*lua.LUserData); ok && o == (nothing{}) { // "text" .. object
				L.Replace(1, u)
				o = self(L)
			}
			L.RaiseError(reason, o, o.usage())
			return 0
		}))
	}
	mt.RawSetString("__newindex", L.NewFunction(func(L *lua.LState) int {
		o := self(L)
		L.RaiseError("%s cannot be changed: %s", o, o.usage())
		return 0
	}))
	return mt
}

func self(L *lua.LState) object {
	if u, ok := L.Get(1).(*lua.LUserData); ok {
		if o, ok := u.Value.(object); ok {
			return o
		}
	}
	return nothing{}
}

// nothing stands for a value that got into a metamethod by force.
type nothing struct{}

func (nothing) String() string { return "this value" }
func (nothing) usage() string  { return "it is none of moonlatch's objects" }

// word is an item without anything to configure: a verdict, a trap, a log line.
type word struct {
	name string
	is   ruleset.Item
}

func (w word) item() ruleset.Item { return w.is }
func (w word) String() string     { return w.name }
func (w word) usage() string {
	return "it stands among a rule's items as it is: input { \"name\", tcp = 80, " + w.name + " }"
}

// rejectWord is the verdict reject, which can be called to say how.
type rejectWord struct{ word }

func (r rejectWord) call(p *Policy, L *lua.LState) int {
	how := stringArg(L, 2, `reject("tcp-reset")`)
	with, err := rejection(how)
	if err != nil {
		L.RaiseError("%v", err)
	}
	name := "reject(\"" + how + "\")"
	L.Push(p.wrap(word{name, ruleset.Verdict{Kind: "reject", With: with}}))
	return 1
}
