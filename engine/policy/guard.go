package policy

import lua "github.com/yuin/gopher-lua"

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
				w.Confirm, err = duration(v.LValue)
				return err
			}},
		{Entry{Name: "fallback", Takes: `"previous" or "open"`, Doc: `what follows when nobody confirms it; default "previous"`, Example: `fw.watchdog { fallback = "open" }`},
			func(_ *loader, w *Watchdog, v value) (err error) {
				w.Fallback, err = oneOf(v, "previous", "open")
				return err
			}},
		{Entry: Entry{Name: "lease", Instead: "-"}},
		{Entry: Entry{Name: "check", Instead: "-"}},
	}
}
