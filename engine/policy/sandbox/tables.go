package sandbox

import (
	"sort"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

func (s *State) tableFunctions() functions {
	return functions{
		"concat": s.tableConcat,
		"insert": s.tableInsert,
		"remove": s.tableRemove,
		"sort":   s.tableSort,
	}
}

func (s *State) tableConcat(L *lua.LState) int {
	t, sep := L.CheckTable(1), L.OptString(2, "")
	from, to := optInt(L, 3, 1), optInt(L, 4, t.Len())
	var b strings.Builder
	for i := from; i <= to; i++ {
		v := t.RawGetInt(i)
		if !lua.LVCanConvToString(v) {
			L.RaiseError("cannot concatenate item %d: it is a %s", i, v.Type())
		}
		b.WriteString(v.String())
		if i < to {
			b.WriteString(sep)
		}
		s.checkLength(b.Len())
		s.charge(1)
	}
	s.chargeBytes(b.Len())
	L.Push(lua.LString(b.String()))
	return 1
}

func (s *State) tableInsert(L *lua.LState) int {
	t := L.CheckTable(1)
	checkWritable(L, t)
	switch L.GetTop() {
	case 2:
		t.Append(L.Get(2))
		return 0
	case 3:
	default:
		L.RaiseError("wrong number of arguments to 'insert'")
	}
	n, pos := t.Len(), checkInt(L, 2)
	if pos < 1 || pos > n+1 {
		L.ArgError(2, "position out of bounds")
	}
	if pos == n+1 {
		t.Append(L.Get(3))
		return 0
	}
	s.charge((n - pos) / 16)
	t.Insert(pos, L.Get(3))
	return 0
}

func (s *State) tableRemove(L *lua.LState) int {
	t := L.CheckTable(1)
	checkWritable(L, t)
	n := t.Len()
	pos := optInt(L, 2, n)
	if pos < 1 || pos > n {
		return 0
	}
	s.charge((n - pos) / 16)
	L.Push(t.Remove(pos))
	return 1
}

// tableSort sorts a copy, so that an error of the comparator leaves the table as
// it was. Every comparison is paid for.
func (s *State) tableSort(L *lua.LState) int {
	t := L.CheckTable(1)
	checkWritable(L, t)
	var before *lua.LFunction
	if L.Get(2) != lua.LNil {
		before = L.CheckFunction(2)
	}
	values := make([]lua.LValue, t.Len())
	for i := range values {
		values[i] = t.RawGetInt(i + 1)
	}
	sort.Slice(values, func(i, j int) bool { return s.less(L, before, values[i], values[j]) })
	for i, v := range values {
		t.RawSetInt(i+1, v)
	}
	return 0
}

func (s *State) less(L *lua.LState, before *lua.LFunction, a, b lua.LValue) bool {
	if before == nil {
		s.charge(compareCost(a, b))
		return L.LessThan(a, b)
	}
	s.charge(1)
	L.Push(before)
	L.Push(a)
	L.Push(b)
	L.Call(2, 1)
	less := lua.LVAsBool(L.Get(-1))
	L.Pop(1)
	return less
}

// compareCost is what gopher-lua takes to compare two strings byte by byte.
func compareCost(a, b lua.LValue) int {
	x, ok := a.(lua.LString)
	y, too := b.(lua.LString)
	if !ok || !too {
		return 1
	}
	return 1 + min(len(x), len(y))/8
}
