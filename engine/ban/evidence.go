package ban

import (
	"fmt"
	"strings"
)

// String says it in a line: "11 ports from 2026-11-23 10:00:00.000 to 10:00:01.250 UTC, ports 21,22,23". Of nil it is "".
func (e *Evidence) String() string {
	if e == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s from %s to %s UTC", e.Count, e.Of, e.First.UTC().Format("2006-01-02 15:04:05.000"), e.Last.UTC().Format("15:04:05.000"))
	for i, p := range e.Ports {
		fmt.Fprintf(&b, "%s%d", separator(i, ", ports "), p)
	}
	for i, a := range e.Addrs {
		fmt.Fprintf(&b, "%s%s", separator(i, ", addresses "), a)
	}
	return b.String()
}

// separator is what comes before the ith item of a list.
func separator(i int, title string) string {
	if i == 0 {
		return title
	}
	return ","
}
