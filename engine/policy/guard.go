package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"go4.org/netipx"

	"moonlatch/engine/ruleset"
)

// protect is fw.protect.
func (l *loader) protect(L *lua.LState) int {
	noMore(L, 1, `fw.protect { "198.51.100.7" }`)
	if L.Get(1) == lua.LNil {
		L.RaiseError(`fw.protect { "198.51.100.7" } is expected, not %s`, got(L, 1))
	}
	v := l.value(L, 1)
	set, hosts, err := protectable(v)
	l.reportAll(v.pos, "fw.protect: ", err)
	if err != nil {
		return 0
	}
	l.protects.AddSet(set)
	for _, name := range hosts {
		if !slices.Contains(l.protectNames, name) {
			l.protectNames = append(l.protectNames, name)
		}
	}
	return 0
}

// protectable reads what addressSet does, and names of hosts.
func protectable(v value) (*netipx.IPSet, []string, error) {
	var all netipx.IPSetBuilder
	var hosts []string
	err := each(v, func(v value) error {
		if s, ok := v.LValue.(lua.LString); ok {
			if name, ok := hostName(string(s)); ok {
				hosts = append(hosts, name)
				return nil
			}
		}
		set, err := addressSet(v)
		switch {
		case err != nil && v.Type() == lua.LTString && !strings.ContainsAny(v.String(), "/:"):
			return fmt.Errorf("%w, and no full name of a host (\"admin.example.net\")", err)
		case err != nil:
			return err
		}
		all.AddSet(set)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	set, err := all.IPSet()
	switch {
	case err != nil:
		return nil, nil, err
	case set.ContainsPrefix(netip.PrefixFrom(netip.IPv4Unspecified(), 0)), set.ContainsPrefix(netip.PrefixFrom(netip.IPv6Unspecified(), 0)):
		return nil, nil, errors.New("everybody is protected then, and nobody could be banned")
	}
	return set, hosts, nil
}

// hostName reports whether a text is the full name of a host, such as "admin.example.net", and returns it in its usual form. What has
// no dot, or ends like an address, is more likely a slip of the pen.
func hostName(s string) (string, bool) {
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	return name, checkHostName(name) == nil && last != name && strings.Trim(last, "0123456789") != ""
}

// watch is fw.watchdog.
func (l *loader) watch(L *lua.LState) int {
	t := l.table(L, 1, `fw.watchdog { confirm = "60s" }`)
	noMore(L, 1, `fw.watchdog { confirm = "60s" }`)
	if l.watched {
		l.report(t.pos, "fw.watchdog is called twice, and a policy has one watchdog")
	}
	l.watched = true
	l.noItems("fw.watchdog", t)
	fill(l, "fw.watchdog", t, watchdogOptions(), &l.watchdog)
	return 0
}

func watchdogOptions() []option[*Watchdog] {
	return []option[*Watchdog]{
		{Entry{Name: "confirm", Takes: "time", Doc: "how long a new ruleset waits to be confirmed; default 60s", Example: `fw.watchdog { confirm = "2m" }`},
			func(_ *loader, w *Watchdog, v value) (err error) {
				if w.Confirm, err = duration(v.LValue); err == nil {
					err = ruleset.CheckTrial(w.Confirm)
				}
				return err
			}},
		{Entry{Name: "fallback", Takes: `"previous" or "open"`, Doc: `what follows when nobody confirms it; default "previous"`, Example: `fw.watchdog { fallback = "open" }`},
			func(_ *loader, w *Watchdog, v value) (err error) {
				w.Fallback, err = oneOf(v, "previous", "open")
				return err
			}},
		{Entry{Name: "lease", Takes: "time", Doc: "lets everything through once the daemon has been dead or hung, or the check has failed, for that long; default: never", Example: `fw.watchdog { lease = "30s" }`},
			func(_ *loader, w *Watchdog, v value) (err error) {
				if w.Lease, err = duration(v.LValue); err == nil {
					err = ruleset.CheckLease(w.Lease)
				}
				return err
			}},
		{Entry{Name: "check", Takes: "function()", Doc: "says with true that all is well; asked every third of the lease", Example: `fw.watchdog { lease = "30s", check = function() return fw.probe.tcp("192.0.2.1:443") end }`},
			func(l *loader, w *Watchdog, v value) error {
				fn, ok := v.LValue.(*lua.LFunction)
				if !ok {
					return fmt.Errorf("function() … end is expected, not %s", describe(v.LValue))
				}
				if err := notOurs(fn, "function() … end"); err != nil {
					return err
				}
				w.Check = l.callback("check", v.pos, fn)
				return nil
			}},
		{Entry{Name: "drift", Takes: `"heal" or "report"`, Doc: `what follows when somebody else changes the ruleset in the kernel; default "heal": it is put back`, Example: `fw.watchdog { drift = "report" }`},
			func(_ *loader, w *Watchdog, v value) (err error) {
				w.Drift, err = oneOf(v, "heal", "report")
				return err
			}},
	}
}
