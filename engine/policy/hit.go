package policy

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/detect"
	"moonlatch/engine/ruleset"
)

func noHitField(name string) string {
	return fmt.Sprintf("a hit has no field %q%s", name, ruleset.Suggest(name, names(hitFields())))
}

// Hit runs the detector's action, if it has one, with the evidence. The error
// is a *CallError.
func (p *Policy) Hit(d *Detector, hit detect.Hit) error {
	if d.Action == nil {
		return nil
	}
	p.turn.Lock()
	defer p.turn.Unlock()
	L := p.state.L()
	t := L.NewTable()
	for _, f := range hitFields() {
		t.RawSetString(f.Name, f.get(p, hit))
	}
	meta := L.NewTable()
	meta.RawSetString("__index", L.NewFunction(func(L *lua.LState) int {
		name := L.Get(2).String()
		if lookup(hitFields(), name) != nil {
			return 0 // a field that this hit does not have
		}
		L.RaiseError("%s", noHitField(name))
		return 0
	}))
	t.Metatable = meta
	return p.run(d.Action, t)
}
