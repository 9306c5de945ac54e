package ruleset

import (
	"fmt"
	"time"
)

// Hours matches a time of day, in minutes since midnight, up to but without the
// minute To. A To below From is of the next day. nft translates from the local
// time zone when the ruleset is loaded.
type Hours struct {
	Not      bool
	From, To int
}

func (Hours) split() bool { return false }

func (h Hours) exprs(family) []string {
	last := (h.To*60 + secondsOfDay - 1) % secondsOfDay
	return []string{fmt.Sprintf("meta hour %s", compare(h.Not, quote(clock(h.From*60))+"-"+quote(clock(last))))}
}

const secondsOfDay = 24 * 60 * 60

func clock(seconds int) string {
	return fmt.Sprintf("%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

// Days matches days of the week.
type Days struct {
	Not  bool
	Days []time.Weekday
}

func (Days) split() bool { return false }

func (d Days) exprs(family) []string {
	names := make([]string, len(d.Days))
	for i, day := range d.Days {
		names[i] = quote(day.String())
	}
	return []string{"meta day " + compare(d.Not, braces(names))}
}

// Dates matches what is between two instants, the second excluded.
type Dates struct {
	Not      bool
	From, To time.Time
}

func (Dates) split() bool { return false }

func (d Dates) exprs(family) []string {
	const layout = "2006-01-02 15:04:05"
	from, to := d.From.Format(layout), d.To.Add(-time.Second).Format(layout)
	return []string{"meta time " + compare(d.Not, quote(from)+"-"+quote(to))}
}
