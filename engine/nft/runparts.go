package nft

import (
	"context"
	"errors"
	"strings"
)

// mostRules is how many rules [Client.RunInParts] loads at once: they mostly take some 500 bytes each, of 208 KiB.
const mostRules = 200

// RunInParts is [Client.Run], but where the kernel does not take so much at once from this process, everything but the rules
// comes first, and then the rules, some at a time. It is for namespaces in which nobody minds a part of a ruleset. The text has one
// rule a line, below the line that begins its chain; otherwise the error is that of Run.
func (c *Client) RunInParts(ctx context.Context, text []byte) error {
	err := c.Run(ctx, text)
	if !errors.Is(err, ErrTooBig) {
		return err
	}
	lines := strings.SplitAfter(string(text), "\n")
	kinds, ok := kindsOf(lines)
	if !ok {
		return err
	}
	if err := c.Run(ctx, only(lines, func(n int) bool { return kinds[n] != ruleLine })); err != nil {
		return err
	}
	for from, most := 0, mostRules; from < len(lines); {
		to, rules := from, 0
		for to < len(lines) && rules < most {
			if kinds[to] == ruleLine {
				rules++
			}
			to++
		}
		err := c.Run(ctx, only(lines, func(n int) bool {
			return kinds[n] == frameLine || kinds[n] == ruleLine && from <= n && n < to
		}))
		switch {
		case errors.Is(err, ErrTooBig) && most > 1:
			most /= 2
		case err != nil:
			return err
		default:
			from = to
		}
	}
	return nil
}

// What a line of a ruleset is.
const (
	otherLine = iota // a set, a chain's hook, …
	frameLine        // begins or ends a table or a chain
	ruleLine
)

// kindsOf tells what each line is, and whether every rule stands on one line of its own.
func kindsOf(lines []string) (kinds []int, ok bool) {
	kinds = make([]int, len(lines))
	inChain := false
	for n, line := range lines {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "table ") && strings.HasSuffix(line, " {"), line == "}":
			kinds[n] = frameLine
		case strings.HasPrefix(line, "\tchain ") && strings.HasSuffix(line, " {"):
			kinds[n], inChain = frameLine, true
		case inChain && line == "\t}":
			kinds[n], inChain = frameLine, false
		case inChain && strings.HasPrefix(line, "\t\t") && !strings.HasPrefix(line, "\t\ttype "):
			if strings.Count(line, "{") != strings.Count(line, "}") || strings.HasSuffix(line, "\\") {
				return nil, false
			}
			kinds[n] = ruleLine
		case inChain && !strings.HasPrefix(line, "\t\ttype "):
			return nil, false
		}
	}
	return kinds, true
}

// only leaves the other lines empty, so that each keeps its number.
func only(lines []string, keep func(n int) bool) []byte {
	var out strings.Builder
	for n, line := range lines {
		if keep(n) {
			out.WriteString(line)
		} else {
			out.WriteByte('\n')
		}
	}
	return []byte(out.String())
}
