package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// maxWhy bounds the reason of a ban, in bytes: a policy may put payload into it.
const maxWhy = 256

// ban is fw.ban.
func (p *Policy) ban(L *lua.LState) int {
	target := p.target(L, "fw.ban")
	times, err := banTimes(value{LValue: L.Get(2)})
	if err != nil {
		L.RaiseError("fw.ban: %v", err)
	}
	b := Ban{Target: target, Times: times, By: p.by()}
	last := L.GetTop()
	if options, ok := L.Get(last).(*lua.LTable); ok && last > 2 {
		if err := b.read(options); err != nil {
			L.RaiseError("fw.ban: %v", err)
		}
		last--
	}
	if last > 3 {
		noMore(L, 3, banForm)
	}
	if last == 3 && L.Get(3) != lua.LNil {
		b.Why = printable(stringArg(L, 3, banForm), maxWhy)
	}
	return result(L, p.env.Actions.Ban(b))
}

const banForm = "fw.ban(address, time, reason, { kill = true })"

// Ban is what a policy asks for. See Actions for its target.
type Ban struct {
	Target  netip.Prefix
	Times   []time.Duration // not empty: the nth offence gets the nth, or the last
	Why, By string
	Answer
}

// Answer is what else belongs to a ban.
type Answer struct {
	SpareConnected bool // bans nobody whom this host has opened a connection to
	Kill           bool // ends what is established with the target
}

// answerFields are options of fw.ban, and of detectors.
func answerFields() []option[*Answer] {
	return []option[*Answer]{
		{Entry{Name: "kill", Takes: "true or false", Doc: "ends the connections that are established with the banned source, of this host and forwarded ones, so that none of them goes on after the ban; default false", Example: `fw.detect "d" { on = closed, over = 10, within = "60s", ban = "1h", kill = true }`},
			func(_ *loader, a *Answer, v value) (err error) {
				a.Kill, err = boolean(v)
				return err
			}},
		{Entry{Name: "spare", Takes: `"connected"`, Doc: "bans nobody whom this host has itself opened a connection to, which is looked up when a ban is about to be made", Example: `fw.detect "d" { on = closed, over = 10, within = "60s", ban = "1h", spare = "connected" }`},
			func(_ *loader, a *Answer, v value) error {
				_, err := oneOf(v, "connected")
				a.SpareConnected = err == nil
				return err
			}},
	}
}

func boolean(v value) (bool, error) {
	b, ok := v.LValue.(lua.LBool)
	if !ok {
		return false, fmt.Errorf("true or false is expected, not %s", describe(v.LValue))
	}
	return bool(b), nil
}

// read reads the options of fw.ban, in a handler, where no source tells of a table.
func (a *Answer) read(options *lua.LTable) error {
	for k, v := range pairs(options) {
		name, ok := k.(lua.LString)
		if !ok {
			return fmt.Errorf("its options are { kill = true, spare = \"connected\" }, not %s", describe(v))
		}
		o := lookup(answerFields(), string(name))
		if o == nil {
			return fmt.Errorf("unknown option %q%s", string(name), ruleset.Suggest(string(name), names(answerFields())))
		}
		if err := o.set(nil, a, value{LValue: v}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
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
