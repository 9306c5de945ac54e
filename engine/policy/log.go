package policy

import (
	"context"
	"log/slog"

	lua "github.com/yuin/gopher-lua"
)

// maxMessage bounds one message of a policy, in bytes.
const maxMessage = 4096

// logAt is fw.log.LEVEL.
func logAt(name string, level slog.Level) func(p *Policy, L *lua.LState) int {
	return func(p *Policy, L *lua.LState) int {
		form := "fw.log." + name + `("message")`
		msg, ok := lua.LVAsString(L.Get(1)), lua.LVCanConvToString(L.Get(1))
		if !ok {
			L.RaiseError("%s is expected, not %s", form, got(L, 1))
		}
		noMore(L, 1, form)
		attrs := []slog.Attr{slog.String("at", p.here().String())}
		if p.running != nil {
			attrs = append(attrs, slog.String("by", p.by()))
		}
		p.env.Log.LogAttrs(context.Background(), level, printable(msg, maxMessage), attrs...)
		return 0
	}
}
