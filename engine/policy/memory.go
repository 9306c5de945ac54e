package policy

import (
	"errors"
	"time"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/memory"
)

var errNoMemory = errors.New("nothing can be remembered here")

// remember is fw.remember.
func (p *Policy) remember(L *lua.LState) int {
	const form = `fw.remember("name", value, "24h")`
	key := stringArg(L, 1, form)
	noMore(L, 3, form)
	if L.GetTop() < 2 {
		L.RaiseError("%s is expected, and there is no value; nil forgets the name", form)
	}
	if p.env.Memory == nil {
		return result(L, errNoMemory)
	}
	if L.Get(2) == lua.LNil {
		p.env.Memory.Forget(key)
		return result(L, nil)
	}
	value, ok := plain(L.Get(2))
	if !ok {
		L.RaiseError("fw.remember: %q: a text, a number, true or false can be remembered, not %s", key, got(L, 2))
	}
	var ttl time.Duration
	if L.Get(3) != lua.LNil {
		var err error
		if ttl, err = duration(L.Get(3)); err != nil {
			L.RaiseError("fw.remember: %q: %v", key, err)
		}
	}
	err := p.env.Memory.Remember(key, value, ttl)
	if err != nil && !errors.Is(err, memory.ErrFull) {
		L.RaiseError("fw.remember: %.80q: %v", key, err)
	}
	return result(L, err)
}

// recall is fw.recall.
func (p *Policy) recall(L *lua.LState) int {
	const form = `fw.recall("name")`
	key := stringArg(L, 1, form)
	noMore(L, 1, form)
	var v any
	if p.env.Memory != nil {
		v, _ = p.env.Memory.Recall(key)
	}
	switch v := v.(type) {
	case string:
		L.Push(lua.LString(v))
	case float64:
		L.Push(lua.LNumber(v))
	case bool:
		L.Push(lua.LBool(v))
	default:
		L.Push(lua.LNil)
	}
	return 1
}

// plain is a Lua value as Go has it.
func plain(v lua.LValue) (any, bool) {
	switch v := v.(type) {
	case lua.LString:
		return string(v), true
	case lua.LNumber:
		return float64(v), true
	case lua.LBool:
		return bool(v), true
	}
	return nil, false
}
