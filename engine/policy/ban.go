package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"

	lua "github.com/yuin/gopher-lua"
)

// maxWhy bounds the reason of a ban, in bytes: a policy may put payload into it.
const maxWhy = 256

// ban is fw.ban.
func (p *Policy) ban(L *lua.LState) int {
	target := p.target(L, "fw.ban")
	times, err := durations(value{LValue: L.Get(2)})
	if err != nil {
		L.RaiseError("fw.ban: %v", err)
	}
	why := ""
	if L.Get(3) != lua.LNil {
		why = printable(stringArg(L, 3, "fw.ban(address, time, reason)"), maxWhy)
	}
	return result(L, p.env.Actions.Ban(target, times, why, p.by()))
}

// unban is fw.unban.
func (p *Policy) unban(L *lua.LState) int {
	return result(L, p.env.Actions.Unban(p.target(L, "fw.unban")))
}

// banned is fw.banned.
func (p *Policy) banned(L *lua.LState) int {
	s := stringArg(L, 1, "fw.banned(address)")
	a, err := parseHost(s)
	if err != nil {
		L.RaiseError("fw.banned: %v", err)
	}
	L.Push(lua.LBool(p.env.Actions.Banned(a)))
	return 1
}

// bans is fw.bans.
func (p *Policy) bans(L *lua.LState) int {
	L.Push(lua.LNumber(p.env.Actions.Bans()))
	return 1
}

// target reads what to ban: an address, an IPv6 one standing for its /64, or a
// prefix, whose host bits do not matter, so that ev.src .. "/24" is one. See Actions.
func (p *Policy) target(L *lua.LState, function string) netip.Prefix {
	s := stringArg(L, 1, function+"(address, …)")
	prefix, err := parseTarget(s)
	if err != nil {
		L.RaiseError("%s: %v", function, err)
	}
	return prefix
}

func parseTarget(s string) (netip.Prefix, error) {
	if p, err := lenientPrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := parseHost(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%.80q is no address or prefix", s)
	}
	if a.Is6() {
		return netip.PrefixFrom(a, sourceBits6), nil
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// result returns true, or false and the reason: that an address is protected
// is no mistake of the handler's.
func result(L *lua.LState, err error) int {
	L.Push(lua.LBool(err == nil))
	if err == nil {
		return 1
	}
	L.Push(lua.LString(err.Error()))
	return 2
}

// by names the running callback, for the ban book.
func (p *Policy) by() string {
	if p.running == nil {
		return "policy"
	}
	return p.running.Kind + " " + p.running.Name
}

// printable makes a text from a packet safe for logs and terminals, and short.
func printable(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		if c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s)
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}
