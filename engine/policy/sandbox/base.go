package sandbox

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

const (
	maxString = 1 << 20 // bytes of a string that Lua builds
	maxUnpack = 8000    // values that one call may return (LUAI_MAXCSTACK)
)

// charge makes the policy pay for n instructions' worth of work in Go.
func (s *State) charge(n int) {
	if err := s.meter.charge(n); err != nil {
		s.current.RaiseError("%s", err.Error())
	}
}

// chargeBytes makes the policy pay for making a string, and refuses one that is
// too long. Copying 64 bytes costs about as much as an instruction.
func (s *State) chargeBytes(n int) {
	s.checkLength(n)
	s.charge(n / 64)
}

func (s *State) checkLength(n int) {
	if n > maxString {
		s.current.RaiseError("string longer than %d bytes", maxString)
	}
}

// checkInt reads an integer argument. A number beyond 2^53 is as good as
// infinite, and Go would convert it to just anything.
func checkInt(L *lua.LState, arg int) int {
	const limit = 1 << 53
	n := L.CheckNumber(arg)
	switch {
	case n != n:
		L.ArgError(arg, "not a number (nan)")
	case n > limit:
		return limit
	case n < -limit:
		return -limit
	}
	return int(n)
}

func optInt(L *lua.LState, arg, def int) int {
	if L.Get(arg) == lua.LNil {
		return def
	}
	return checkInt(L, arg)
}

func (s *State) baseFunctions() functions {
	return functions{
		"error":        s.raiseError,
		"getmetatable": getmetatable,
		"next":         s.next,
		"pairs":        s.pairs,
		"pcall":        s.pcall,
		"rawget":       s.rawget,
		"rawset":       s.rawset,
		"require":      s.require,
		"setmetatable": setmetatable,
		"unpack":       s.unpack,
		"print":        s.print,
		"xpcall":       s.xpcall,
	}
}

func (s *State) print(L *lua.LState) int {
	if s.cfg.Print == nil {
		L.RaiseError("%s", notAvailable("print", "use fw.log.info"))
	}
	var b strings.Builder
	for i := 1; i <= L.GetTop(); i++ {
		if i > 1 {
			b.WriteByte('\t')
		}
		b.WriteString(L.ToStringMeta(L.Get(i)).String())
		s.chargeBytes(b.Len())
	}
	s.cfg.Print(b.String())
	return 0
}

// raiseError is error, with levels as Lua counts them; gopher-lua's 2 is its 1.
func (s *State) raiseError(L *lua.LState) int {
	value, level := L.CheckAny(1), optInt(L, 2, 1)
	if text, ok := value.(lua.LString); ok && level > 0 {
		if file, line, _ := functionAt(L, level); file != "" {
			value = lua.LString(fmt.Sprintf("%s:%d: %s", file, line, text))
		}
	}
	L.Error(value, 0)
	return 0
}

// getmetatable shows the metatables of tables only: those of userdata belong to
// their modules.
func getmetatable(L *lua.LState) int {
	v := L.CheckAny(1)
	meta := L.GetMetatable(v)
	if _, ok := v.(*lua.LTable); !ok && meta != lua.LNil {
		meta = lua.LFalse
	}
	L.Push(meta)
	return 1
}

func setmetatable(L *lua.LState) int {
	t := L.CheckTable(1)
	L.CheckTypes(2, lua.LTNil, lua.LTTable)
	checkWritable(L, t)
	if meta, ok := L.Get(2).(*lua.LTable); ok && meta.RawGetString("__mode") != lua.LNil {
		L.RaiseError("weak tables (__mode) are not supported")
	}
	t.Metatable = L.Get(2)
	L.SetTop(1)
	return 1
}

func (s *State) rawget(L *lua.LState) int {
	t := L.CheckTable(1)
	if table, ok := s.sealed[t]; ok {
		t = table
	}
	L.Push(t.RawGet(L.CheckAny(2)))
	return 1
}

func (s *State) rawset(L *lua.LState) int {
	t := L.CheckTable(1)
	checkWritable(L, t)
	s.chargeGap(t, L.CheckAny(2))
	L.RawSet(t, L.Get(2), L.CheckAny(3))
	L.SetTop(1)
	return 1
}

// next costs more than its call, because it may have to step over many keys that
// were set to nil.
func (s *State) next(L *lua.LState) int {
	s.charge(8)
	k, v := L.CheckTable(1).Next(L.Get(2))
	L.Push(k)
	if k == lua.LNil {
		return 1
	}
	L.Push(v)
	return 2
}

// pairs walks a copy of a sealed table, because Lua gets to see what it walks.
func (s *State) pairs(L *lua.LState) int {
	t := L.CheckTable(1)
	if table, ok := s.sealed[t]; ok {
		t = L.NewTable()
		table.ForEach(t.RawSet)
	}
	L.Push(L.G.Global.RawGetString("next"))
	L.Push(t)
	L.Push(lua.LNil)
	return 3
}

func (s *State) unpack(L *lua.LState) int {
	t := L.CheckTable(1)
	from, to := optInt(L, 2, 1), optInt(L, 3, t.Len())
	if from > to {
		return 0
	}
	if to-from >= maxUnpack {
		L.RaiseError("too many results to unpack (at most %d)", maxUnpack)
	}
	s.charge(to - from)
	for i := from; i <= to; i++ {
		L.Push(t.RawGetInt(i))
	}
	return to - from + 1
}
