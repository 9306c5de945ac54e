package policy

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	lua "github.com/yuin/gopher-lua"
)

// duration reads a time such as "60s", "1h30m" or "7d", which must be longer than nothing.
func duration(v lua.LValue) (time.Duration, error) {
	switch v := v.(type) {
	case lua.LNumber:
		return 0, fmt.Errorf("%v has no unit: write \"%vs\" for seconds", v, v)
	case lua.LString:
		return ParseDuration(string(v))
	}
	return 0, fmt.Errorf("a time such as \"60s\" is expected, not %s", describe(v))
}

// ParseDuration reads a time as policies write it: "60s", "1h30m" or "7d".
func ParseDuration(s string) (time.Duration, error) {
	d, err := model.ParseDuration(s)
	switch {
	case err != nil && digits(s):
		return 0, fmt.Errorf("%q has no unit: write \"%ss\" for seconds", s, s)
	case err != nil:
		return 0, fmt.Errorf("%q is no time: write for example \"60s\", \"10m\", \"12h\" or \"7d\"", s)
	case d == 0:
		return 0, fmt.Errorf("%q is no time at all: it must be longer than 0", s)
	}
	return time.Duration(d), nil
}

// durations reads one time or a list of them.
func durations(v value) ([]time.Duration, error) {
	var out []time.Duration
	err := each(v, func(v value) error {
		d, err := duration(v.LValue)
		out = append(out, d)
		return err
	})
	if err == nil && len(out) == 0 {
		err = errors.New("the list of times is empty")
	}
	return out, err
}

// digits reports whether s is a plain number.
func digits(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
