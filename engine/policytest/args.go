package policytest

import (
	"fmt"
	"net/netip"
	"time"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/policy"
)

// describe says what a value is, for an error.
func describe(v lua.LValue) string {
	switch v := v.(type) {
	case *lua.LNilType:
		return "nil: a misspelt name?"
	case lua.LString:
		return fmt.Sprintf("%.80q", string(v))
	case lua.LNumber:
		return "the number " + v.String()
	}
	return "a " + v.Type().String()
}

// text reads an argument.
func (f *File) text(L *lua.LState, n int, form string) string {
	s, ok := L.Get(n).(lua.LString)
	if !ok {
		f.mistake(L, "%s is expected, and argument %d is %s", form, n, describe(L.Get(n)))
	}
	return string(s)
}

func (f *File) ip(L *lua.LState, n int, form string) netip.Addr {
	s := f.text(L, n, form)
	a, err := netip.ParseAddr(s)
	if err != nil {
		f.mistake(L, "%q is no address: %s", s, form)
	}
	return a.Unmap()
}

func (f *File) duration(L *lua.LState, n int, form string) time.Duration {
	if v, ok := L.Get(n).(lua.LNumber); ok {
		f.mistake(L, "%v has no unit: write \"%vs\" for seconds", v, v)
	}
	d, err := policy.ParseDuration(f.text(L, n, form))
	if err != nil {
		f.mistake(L, "%v", err)
	}
	return d
}
