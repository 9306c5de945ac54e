package policy

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// protect is fw.protect.
func (l *loader) protect(L *lua.LState) int {
	noMore(L, 1, `fw.protect { "198.51.100.7" }`)
	if L.Get(1) == lua.LNil {
		L.RaiseError(`fw.protect { "198.51.100.7" } is expected, not %s`, got(L, 1))
	}
	v := l.value(L, 1)
	set, err := addressSet(v)
	l.reportAll(v.pos, "fw.protect: ", err)
	if err == nil {
		l.protects.AddSet(set)
	}
	return 0
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
