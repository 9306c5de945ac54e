package sandbox

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// Three operators of the machine have no bound of their own: concatenation, and
// assignment to a computed key, also in a table constructor. The checker turns
// them into calls of these functions, whose names cannot be written in Lua.
const (
	opConcat = ".."
	opAssign = "[]="
	opKey    = "[]"
)

func (s *State) operators() functions {
	return functions{opConcat: s.concat, opAssign: s.assign, opKey: s.key}
}

// concat joins its arguments as the operator .. does, from the right.
func (s *State) concat(L *lua.LState) int {
	n, size := L.GetTop(), 0
	for i := 1; i <= n; i++ {
		switch v := L.Get(i).(type) {
		case lua.LString:
			size += len(v)
		case lua.LNumber:
			size += 24
		default:
			return s.concatMeta(L)
		}
	}
	s.chargeBytes(size)
	var b strings.Builder
	b.Grow(size)
	for i := 1; i <= n; i++ {
		b.WriteString(L.Get(i).String())
	}
	L.Push(lua.LString(b.String()))
	return 1
}

// concatMeta joins values of which some may have a __concat.
func (s *State) concatMeta(L *lua.LState) int {
	n := L.GetTop()
	right := L.Get(n)
	for i := n - 1; i > 0; i-- {
		left := L.Get(i)
		if lua.LVCanConvToString(left) && lua.LVCanConvToString(right) {
			l, r := left.String(), right.String()
			s.chargeBytes(len(l) + len(r))
			right = lua.LString(l + r)
			continue
		}
		meta := L.GetMetaField(left, "__concat")
		if meta == lua.LNil {
			meta = L.GetMetaField(right, "__concat")
		}
		if meta.Type() != lua.LTFunction {
			L.RaiseError("attempt to concatenate a %s and a %s", left.Type(), right.Type())
		}
		L.Push(meta)
		L.Push(left)
		L.Push(right)
		L.Call(2, 1)
		right = L.Get(-1)
		L.Pop(1)
	}
	L.Push(right)
	return 1
}

// assign does t[k] = v.
func (s *State) assign(L *lua.LState) int {
	t, k, v := L.Get(1), L.Get(2), L.Get(3)
	if table, ok := t.(*lua.LTable); ok {
		s.chargeGap(table, k)
		if table.Metatable == lua.LNil {
			L.RawSet(table, k, v)
			return 0
		}
	}
	L.SetTable(t, k, v)
	return 0
}

// key passes a key of a table constructor on. It cannot see the table, so it
// charges the key as if the table were empty, at half the rate because several
// large keys fill the same array.
func (s *State) key(L *lua.LState) int {
	if n, ok := L.Get(1).(lua.LNumber); ok && n > denseKeys && n < lua.LNumber(lua.MaxArrayIndex) {
		s.charge(int(n) / 8)
	}
	return 1
}

const denseKeys = 1024 // integer keys up to this are not looked at

// chargeGap makes the policy pay for the array slots that gopher-lua fills when
// an integer key lies beyond the end of a table's array part: 16 bytes each.
// Appending costs nothing.
func (s *State) chargeGap(t *lua.LTable, key lua.LValue) {
	n, ok := key.(lua.LNumber)
	if !ok || n <= denseKeys || n >= lua.LNumber(lua.MaxArrayIndex) || n != lua.LNumber(int(n)) {
		return
	}
	if t.RawGetInt(int(n)-1) != lua.LNil || t.RawGetInt(int(n)) != lua.LNil {
		return
	}
	s.charge((int(n) - t.MaxN()) / 4)
}
