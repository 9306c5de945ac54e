package policy

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"go4.org/netipx"

	"moonlatch/engine/ruleset"
)

// action makes a function of the module that returns an item: form is how it is
// called, read reads its arguments, of which there are at most most.
// Where inMap is not empty, a map may be given instead: that is what is done
// with what it gives.
func action(name string, most int, form, inMap string, read func(args []value) (ruleset.Action, error)) func(l *loader, L *lua.LState) int {
	return func(l *loader, L *lua.LState) int {
		if m, ok := unwrap[*mapObject](L.Get(1)); ok && inMap != "" {
			noMore(L, 1, name+"(map)")
			it, err := lookupIn(inMap, m)
			if err != nil {
				L.RaiseError("%s: %v", name, err)
			}
			L.Push(l.wrap(word{name, it}))
			return 1
		}
		noMore(L, most, form)
		args := make([]value, most)
		for i := range args {
			args[i] = value{LValue: L.Get(i + 1), pos: l.here()}
		}
		a, err := read(args)
		if err != nil {
			L.RaiseError("%s: %v: write for example %s", name, strings.ReplaceAll(err.Error(), "\n", "; "), form)
		}
		L.Push(l.wrap(word{name, a}))
		return 1
	}
}

// given reports whether an argument is there.
func given(v value) bool { return v.LValue != lua.LNil }

func markAction(word string, copied ruleset.Action, set func(value, mask uint32) ruleset.Action) func([]value) (ruleset.Action, error) {
	return func(args []value) (ruleset.Action, error) {
		switch v := args[0].LValue.(type) {
		case lua.LNumber:
			r, err := numberRange(v, math.MaxUint32, nil)
			return set(uint32(r.From), math.MaxUint32), err
		case lua.LString:
			if string(v) == word {
				return copied, nil
			}
			value, mask, err := maskedMark(string(v))
			return set(value, mask), err
		}
		return ruleset.Action{}, fmt.Errorf("a mark is expected, not %s", describe(args[0].LValue))
	}
}

func dscpAction(args []value) (ruleset.Action, error) {
	r, err := numberRange(args[0].LValue, ruleset.DSCP.Max(), codePoint)
	if err == nil && r.From != r.To {
		err = fmt.Errorf("%s is more than one value", describe(args[0].LValue))
	}
	return ruleset.SetDSCP(uint8(r.From)), err
}

func notrackAction([]value) (ruleset.Action, error) { return ruleset.NoTrack(), nil }

// minMSS is the least maximum segment size that makes sense: what every IPv4
// host takes (RFC 9293 §3.7.1), halved for margins.
const minMSS = 268

func mssAction(args []value) (ruleset.Action, error) {
	if args[0].LValue == lua.LString("rt mtu") {
		return ruleset.MSS(0), nil
	}
	r, err := numberRange(args[0].LValue, math.MaxUint16, nil)
	if err == nil && (r.From != r.To || r.From < minMSS) {
		err = fmt.Errorf("%s is no segment size: \"rt mtu\", or %d bytes and more", describe(args[0].LValue), minMSS)
	}
	return ruleset.MSS(uint16(r.From)), err
}

func queueAction(args []value) (ruleset.Action, error) {
	r, err := numberRange(args[0].LValue, math.MaxUint16, nil)
	if err != nil {
		return ruleset.Action{}, err
	}
	flags, err := flagWords(args[1], "bypass", "fanout")
	return ruleset.Queue(uint16(r.From), uint16(r.To), slices.Contains(flags, "bypass"), slices.Contains(flags, "fanout")), err
}

// flagWords reads "random,persistent" or a list of such words.
func flagWords(v value, words ...string) ([]string, error) {
	if !given(v) {
		return nil, nil
	}
	if s, ok := v.LValue.(lua.LString); ok {
		list := &lua.LTable{}
		for w := range strings.SplitSeq(string(s), ",") {
			list.Append(lua.LString(strings.TrimSpace(w)))
		}
		v.LValue = list
	}
	return wordList(v, words...)
}

func dupAction(args []value) (ruleset.Action, error) {
	name, err := text(args[0])
	if err == nil && (len(name) > 15 || strings.ContainsAny(name, "\"/\\ \n")) {
		err = fmt.Errorf("%q is no interface name", name)
	}
	return ruleset.Duplicate(name), err
}

func tproxyAction(args []value) (ruleset.Action, error) {
	var to netip.Addr
	if s, ok := args[0].LValue.(lua.LString); ok && !digits(string(s)) {
		var err error
		if to, err = parseHost(string(s)); err != nil {
			return ruleset.Action{}, err
		}
		args = args[1:]
	}
	r, err := port(args[0].LValue, "tcp")
	if err == nil && r.From != r.To {
		err = fmt.Errorf("%s is more than one port", describe(args[0].LValue))
	}
	return ruleset.TProxy(to, r.From), err
}

// translated makes snat or dnat: to an address or a range of them, at most one
// of each family, and then, if need be, ports and flags.
func translated(build func(...ruleset.Target) ruleset.Action) func([]value) (ruleset.Action, error) {
	return func(args []value) (ruleset.Action, error) {
		var targets []ruleset.Target
		err := each(args[0], func(v value) error {
			r, err := address(v.LValue)
			if err == nil && slices.ContainsFunc(targets, func(t ruleset.Target) bool { return t.From.Is4() == r.From().Is4() }) {
				err = fmt.Errorf("%s is a second target of its address family: a packet can go to one only", describe(v.LValue))
			}
			targets = append(targets, target(r))
			return err
		})
		if err == nil && len(targets) == 0 {
			err = fmt.Errorf("an address is expected, not %s", describe(args[0].LValue))
		}
		if err != nil {
			return ruleset.Action{}, err
		}
		ports, flags, err := portsAndFlags(args[1:])
		for i := range targets {
			targets[i].Ports, targets[i].Flags = ports, flags
		}
		return build(targets...), err
	}
}

func target(r netipx.IPRange) ruleset.Target { return ruleset.Target{From: r.From(), To: r.To()} }

// local makes masquerade or redirect, which take at most ports and flags.
func local(build func(...ruleset.Target) ruleset.Action) func([]value) (ruleset.Action, error) {
	return func(args []value) (ruleset.Action, error) {
		ports, flags, err := portsAndFlags(args)
		return build(ruleset.Target{Ports: ports, Flags: flags}), err
	}
}

func portsAndFlags(args []value) (ports ruleset.PortRange, flags []string, err error) {
	if given(args[0]) {
		if ports, err = port(args[0].LValue, "tcp"); err != nil {
			return ports, nil, err
		}
		if ports.From == 0 {
			return ports, nil, fmt.Errorf("port 0 cannot be a target")
		}
	}
	flags, err = flagWords(args[1], "random", "fully-random", "persistent")
	return ports, flags, err
}

// synproxyOptions are those of fw.synproxy { … }.
type synproxyOptions struct {
	mss             uint16
	wscale          uint8
	timestamp, sack bool
}

func synproxy(l *loader, L *lua.LState) int {
	const form = `fw.synproxy { mss = 1460, wscale = 7 }`
	t := l.table(L, 1, form)
	noMore(L, 1, form)
	o := synproxyOptions{mss: 1460, wscale: 7, timestamp: true, sack: true}
	l.noItems("fw.synproxy", t)
	fill(l, "fw.synproxy", t, synproxyFields(), &o)
	L.Push(l.wrap(word{"fw.synproxy", ruleset.SYNProxy(o.mss, o.wscale, o.timestamp, o.sack)}))
	return 1
}

func synproxyFields() []option[*synproxyOptions] {
	flag := func(name, doc string, at func(*synproxyOptions) *bool) option[*synproxyOptions] {
		return option[*synproxyOptions]{Entry{Name: name, Takes: "true or false", Doc: doc + "; default true", Example: `fw.synproxy { ` + name + ` = false }`},
			func(_ *loader, o *synproxyOptions, v value) error {
				b, ok := v.LValue.(lua.LBool)
				if !ok {
					return fmt.Errorf("true or false is expected, not %s", describe(v.LValue))
				}
				*at(o) = bool(b)
				return nil
			}}
	}
	return []option[*synproxyOptions]{
		{Entry{Name: "mss", Takes: "bytes", Doc: "the maximum segment size of the servers behind; default 1460", Example: `fw.synproxy { mss = 1400 }`},
			func(_ *loader, o *synproxyOptions, v value) error {
				r, err := numberRange(v.LValue, math.MaxUint16, nil)
				if err == nil && (r.From != r.To || r.From < minMSS) {
					err = fmt.Errorf("%s is no segment size: it is %d bytes and more", describe(v.LValue), minMSS)
				}
				o.mss = uint16(r.From)
				return err
			}},
		{Entry{Name: "wscale", Takes: "0 to 14", Doc: "their window scale; default 7", Example: `fw.synproxy { wscale = 9 }`},
			func(_ *loader, o *synproxyOptions, v value) error {
				r, err := numberRange(v.LValue, 14, nil) // RFC 7323 §2.3
				if err == nil && r.From != r.To {
					err = fmt.Errorf("%s is more than one value", describe(v.LValue))
				}
				o.wscale = uint8(r.From)
				return err
			}},
		flag("timestamp", "whether they use TCP timestamps", func(o *synproxyOptions) *bool { return &o.timestamp }),
		flag("sack", "whether they take selective acknowledgements", func(o *synproxyOptions) *bool { return &o.sack }),
	}
}
