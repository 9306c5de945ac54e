package sandbox

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"
)

// Seal returns a read-only view of a table: writing to it is an error, and so is
// reading a field that it does not have; the error names the nearest one. The
// name stands before the field in errors; the globals have none. The table gets
// a metatable and must not be given to Lua itself.
func (s *State) Seal(name string, table *lua.LTable) *lua.LTable {
	L := s.lua
	missing := L.NewTable()
	missing.RawSetString("__index", L.NewFunction(func(L *lua.LState) int {
		L.RaiseError("%s", missingField(name, L.Get(2), table))
		return 0
	}))
	table.Metatable = missing

	meta := L.NewTable()
	meta.RawSetString("__index", table)
	meta.RawSetString("__newindex", L.NewFunction(func(L *lua.LState) int {
		L.RaiseError("%s", readOnly(name, L.Get(2)))
		return 0
	}))
	meta.RawSetString("__metatable", lua.LFalse)
	view := L.NewTable()
	view.Metatable = meta
	s.sealed[view] = table
	return view
}

func missingField(table string, key lua.LValue, fields *lua.LTable) string {
	word, ok := key.(lua.LString)
	if !ok {
		return fmt.Sprintf("%s has no field %s", orGlobals(table), describe(key))
	}
	if table == "" {
		return undefined(string(word), keys(fields))
	}
	if hint, ok := removed[table+"."+string(word)]; ok {
		return notAvailable(table+"."+string(word), hint)
	}
	return fmt.Sprintf("%s has no field %q%s", table, string(word), suggest(string(word), keys(fields)))
}

func readOnly(table string, key lua.LValue) string {
	if table == "" {
		return noGlobals(key.String())
	}
	return fmt.Sprintf("%s is read-only: cannot set %s", table, describe(key))
}

func orGlobals(table string) string {
	if table == "" {
		return "_G"
	}
	return table
}

func keys(t *lua.LTable) []string {
	var names []string
	t.ForEach(func(k, _ lua.LValue) {
		if name, ok := k.(lua.LString); ok {
			names = append(names, string(name))
		}
	})
	return names
}

// checkWritable refuses a table whose metatable is protected, which is how
// sealed tables are marked.
func checkWritable(L *lua.LState, t *lua.LTable) {
	meta, ok := t.Metatable.(*lua.LTable)
	if ok && meta.RawGetString("__metatable") != lua.LNil {
		L.RaiseError("cannot change a protected table")
	}
}
