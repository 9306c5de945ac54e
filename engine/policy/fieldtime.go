package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// readTime reads a time of day "09:00-17:00", or a table of hours, days and dates.
func readTime(r *ruleReader, v value, not bool) (ruleset.Field, error) {
	list, ok := v.LValue.(*lua.LTable)
	if !ok {
		return readHours(r, v, not)
	}
	if not {
		return nil, errors.New("a table of times cannot be negated as a whole: negate its fields, as in time = { not_day = \"Sun\" }")
	}
	t := table{LTable: list, pos: v.pos, lit: v.lit}
	if set, missing := t.names(); len(set)+len(missing) == 0 {
		return nil, errors.New("a time of day such as \"09:00-17:00\" is expected, or a table: { hour = …, day = …, date = … }")
	}
	inner := &ruleReader{loader: r.loader, t: t}
	r.noItems(r.what+": time", t)
	inner.readFields(r.what+": time", timeFields())
	r.failed = r.failed || inner.failed
	return ruleset.All(inner.fields), nil
}

func readHours(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	from, to, ok := strings.Cut(s, "-")
	a, errA := minutes(strings.TrimSpace(from))
	b, errB := minutes(strings.TrimSpace(to))
	switch {
	case !ok || errA != nil || errB != nil:
		return nil, fmt.Errorf("%q is no time of day: write for example \"09:00-17:00\" or \"22:00-06:00\"", s)
	case a == b:
		return nil, fmt.Errorf("%q ends when it starts", s)
	}
	return ruleset.Hours{Not: not, From: a, To: b}, nil
}

const minutesOfDay = 24 * 60

// minutes parses a time of day from 00:00 to 24:00.
func minutes(s string) (int, error) {
	if s == "24:00" {
		return minutesOfDay, nil
	}
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err
}

func readDays(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
	var on [7]bool
	err := each(v, func(v value) error {
		s, err := text(v)
		if err != nil {
			return err
		}
		first, last, isRange := strings.Cut(s, "-")
		from, okFrom := weekday(first)
		to, okTo := weekday(last)
		if !isRange {
			to, okTo = from, true
		}
		if !okFrom || !okTo {
			return fmt.Errorf("%q is no day of the week: write for example \"Mon\", \"Saturday\" or \"Mon-Fri\"", s)
		}
		for d := from; ; d = (d + 1) % 7 {
			if on[d] = true; d == to {
				return nil
			}
		}
	})
	f := ruleset.Days{Not: not}
	for d, is := range on {
		if is {
			f.Days = append(f.Days, time.Weekday(d))
		}
	}
	if err == nil && len(f.Days) == 0 {
		err = errEmptyList
	}
	return f, err
}

func weekday(s string) (time.Weekday, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	for d := range time.Weekday(7) {
		if name := strings.ToLower(d.String()); s == name || s == name[:3] {
			return d, true
		}
	}
	return 0, false
}

func readDates(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	first, last, ok := strings.Cut(s, " to ")
	from, errFrom := instant(first, false)
	to, errTo := instant(last, true)
	switch {
	case !ok || errFrom != nil || errTo != nil:
		return nil, fmt.Errorf("%q are no dates: write for example \"2026-12-24 to 2027-01-06\" or \"2026-12-24 18:00 to 2026-12-25 09:00\"", s)
	case !to.After(from):
		return nil, fmt.Errorf("%q end before they start", s)
	}
	return ruleset.Dates{Not: not, From: from, To: to}, nil
}

// instant parses a date with or without a time of day. A date by itself begins
// at midnight and, as an end, ends with the next one.
func instant(s string, end bool) (time.Time, error) {
	s = strings.TrimSpace(s)
	if t, err := time.ParseInLocation("2006-01-02 15:04", s, time.Local); err == nil {
		return t, nil
	}
	t, err := time.ParseInLocation("2006-01-02", s, time.Local)
	if end {
		t = t.AddDate(0, 0, 1)
	}
	return t, err
}
