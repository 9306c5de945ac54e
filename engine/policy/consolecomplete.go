package policy

import (
	"regexp"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/policy/sandbox"
)

// lastName is the name, or the path of names, that a line ends in.
var lastName = regexp.MustCompile(`(?:[A-Za-z_]\w*[.:])*[A-Za-z_]?\w*$`)

// maxCompletions bounds an answer.
const maxCompletions = 200

// complete lists the line's possible continuations, each as a whole line. It runs no Lua.
func (p *Policy) complete(e *sandbox.Session, line string) []string {
	path := lastName.FindString(line)
	before := strings.TrimSuffix(line, path)
	at := strings.LastIndexAny(path, ".:") + 1
	var known []string
	if at == 0 {
		known = append(e.Names(p.state), keywords()...)
	} else {
		known = p.namesIn(e, strings.FieldsFunc(path[:at], func(r rune) bool { return r == '.' || r == ':' }))
	}
	var out []string
	for _, name := range known {
		if strings.HasPrefix(name, path[at:]) && isName(name) && len(out) < maxCompletions {
			out = append(out, before+path[:at]+name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func keywords() []string {
	return []string{"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while"}
}

// namesIn lists the names in what a path leads to.
func (p *Policy) namesIn(e *sandbox.Session, path []string) []string {
	v := e.Get(p.state, path[0])
	for _, name := range path[1:] {
		v = p.fieldOf(v, name)
	}
	switch v := v.(type) {
	case *lua.LTable:
		return tableNames(p.state.Unsealed(v))
	case *lua.LUserData:
		if m, ok := v.Value.(moduleObject); ok {
			return names(membersOf(m))
		}
		if m, ok := v.Value.(*metricObject); ok {
			return m.methodNames()
		}
	}
	return nil
}

// fieldOf is a field of a table, or of a module where that is a module too.
func (p *Policy) fieldOf(v lua.LValue, name string) lua.LValue {
	switch v := v.(type) {
	case *lua.LTable:
		return p.state.Unsealed(v).RawGetString(name)
	case *lua.LUserData:
		if m, ok := v.Value.(moduleObject); ok {
			if _, ok := submodules()[name]; ok && m == "fw" {
				return &lua.LUserData{Value: m + "." + moduleObject(name)}
			}
		}
	}
	return lua.LNil
}

// membersOf are a module's.
func membersOf(m moduleObject) []member {
	if m == "fw" {
		return moduleMembers()
	}
	return submodules()[strings.TrimPrefix(string(m), "fw.")]
}

func tableNames(t *lua.LTable) []string {
	var out []string
	for k := range pairs(t) {
		if name, ok := k.(lua.LString); ok && len(out) < maxCompletions {
			out = append(out, string(name))
		}
	}
	return out
}
