package policy

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// rejection gives nft's words for the ways to reject a packet.
func rejection(how string) (string, error) {
	known := []string{"tcp-reset", "port-unreachable", "host-unreachable", "no-route", "admin-prohibited"}
	plain := strings.TrimPrefix(how, "icmp-")
	for _, k := range known {
		switch {
		case k != plain:
		case k == "tcp-reset":
			return "tcp reset", nil
		default:
			return "icmpx type " + k, nil // the message of the packet's own family
		}
	}
	return "", fmt.Errorf("reject knows no %q%s: it is one of %s", how, ruleset.Suggest(how, known), strings.Join(known, ", "))
}

// branchTo makes jump and goto_.
func branchTo(kind, name string) func(l *loader, L *lua.LState) int {
	return func(l *loader, L *lua.LState) int {
		c, ok := unwrap[*chainObject](L.Get(1))
		if s, named := L.Get(1).(lua.LString); named {
			L.RaiseError("%s takes the chain itself, not its name: local %s = fw.chain %q {}, then %s(%s)", name, s, string(s), name, s)
		}
		if !ok {
			L.RaiseError("%s(chain) is expected, not %s", name, got(L, 1))
		}
		L.Push(l.wrap(word{name + "(" + c.chain.Name + ")", ruleset.Verdict{Kind: kind, To: c.chain}}))
		return 1
	}
}

func trap(l *loader, L *lua.LState) int {
	d, err := duration(L.Get(1))
	if err != nil {
		L.RaiseError("fw.trap: %v", err)
	}
	L.Push(l.wrap(word{"fw.trap(" + describe(L.Get(1)) + ")", ruleset.Trap{Timeout: d}}))
	return 1
}

func syslog(l *loader, L *lua.LState) int {
	prefix := stringArg(L, 1, `fw.syslog("prefix")`)
	L.Push(l.wrap(word{"fw.syslog(" + describe(L.Get(1)) + ")", ruleset.Syslog{Prefix: prefix}}))
	return 1
}
