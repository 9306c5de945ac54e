package policy

import (
	"cmp"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// readNumber reads numbers, ranges "1-9", comparisons "< 64" and lists of these.
// Named reads what else may stand for a number; it may be nil.
func readNumber(of ruleset.Quantity, named func(string) (uint64, error)) fieldReader {
	return func(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
		f := ruleset.Number{Of: of, Not: not}
		err := each(v, func(v value) error {
			r, err := numberRange(v.LValue, of.Max(), named)
			f.Ranges = append(f.Ranges, r)
			return err
		})
		if err == nil && len(f.Ranges) == 0 {
			err = errEmptyList
		}
		f.Ranges = mergeRanges(f.Ranges)
		return f, err
	}
}

func numberRange(v lua.LValue, most uint64, named func(string) (uint64, error)) (ruleset.Range, error) {
	switch v := v.(type) {
	case lua.LNumber:
		n := uint64(max(v, 0))
		if lua.LNumber(n) != v || n > most {
			return ruleset.Range{}, notNumber(v.String(), most)
		}
		return ruleset.Range{From: n, To: n}, nil
	case lua.LString:
		return parseNumberRange(strings.TrimSpace(string(v)), most, named)
	}
	return ruleset.Range{}, fmt.Errorf("a number is expected, not %s", describe(v))
}

func notNumber(s string, most uint64) error {
	return fmt.Errorf("%q is no whole number from 0 to %d, no range (\"1-9\") and no comparison (\"< 9\", \">= 9\")", s, most)
}

func parseNumberRange(s string, most uint64, named func(string) (uint64, error)) (ruleset.Range, error) {
	for _, op := range []string{"<=", ">=", "<", ">"} {
		if rest, ok := strings.CutPrefix(s, op); ok {
			return comparison(s, op, strings.TrimSpace(rest), most)
		}
	}
	if n, err := parseNumber(s, most); err == nil {
		return ruleset.Range{From: n, To: n}, nil
	}
	if from, to, ok := strings.Cut(s, "-"); ok {
		a, errA := parseNumber(strings.TrimSpace(from), most)
		b, errB := parseNumber(strings.TrimSpace(to), most)
		if errA == nil && errB == nil {
			if b < a {
				return ruleset.Range{}, fmt.Errorf("the range %q ends before it starts: write \"%d-%d\"", s, b, a)
			}
			return ruleset.Range{From: a, To: b}, nil
		}
	}
	if named != nil {
		n, err := named(s)
		return ruleset.Range{From: n, To: n}, err
	}
	return ruleset.Range{}, notNumber(s, most)
}

func parseNumber(s string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil || n > most {
		return 0, notNumber(s, most)
	}
	return n, nil
}

func comparison(s, op, number string, most uint64) (ruleset.Range, error) {
	n, err := parseNumber(number, most)
	r := ruleset.Range{To: most}
	switch {
	case err != nil:
		return r, notNumber(s, most)
	case op == "<" && n == 0, op == ">" && n == most:
		return r, fmt.Errorf("%q can never hold", s)
	case op == "<=" && n == most, op == ">=" && n == 0:
		return r, fmt.Errorf("%q always holds: leave it out", s)
	case op == "<":
		r.To = n - 1
	case op == "<=":
		r.To = n
	case op == ">":
		r.From = n + 1
	case op == ">=":
		r.From = n
	}
	return r, nil
}

// mergeRanges sorts the ranges and joins those that overlap, which nft refuses in one set.
func mergeRanges(list []ruleset.Range) []ruleset.Range {
	slices.SortFunc(list, func(a, b ruleset.Range) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	out := list[:0]
	for _, r := range list {
		if n := len(out); n > 0 && r.From <= out[n-1].To {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

// readMark reads a mark: as any number, or "0x10/0xf0" for some of its bits.
func readMark(of ruleset.Quantity) fieldReader {
	plain := readNumber(of, nil)
	return func(r *ruleReader, v value, not bool) (ruleset.Field, error) {
		if s, ok := v.LValue.(lua.LString); ok && strings.Contains(string(s), "/") {
			value, mask, err := maskedMark(string(s))
			return ruleset.Masked{Of: of, Not: not, Value: value, Mask: mask}, err
		}
		return plain(r, v, not)
	}
}

// maskedMark parses "0x10/0xf0": these bits of the mark, of those.
func maskedMark(s string) (value, mask uint32, err error) {
	left, right, masked := strings.Cut(s, "/")
	v, errV := strconv.ParseUint(strings.TrimSpace(left), 0, 32)
	m := uint64(0xffffffff)
	var errM error
	if masked {
		m, errM = strconv.ParseUint(strings.TrimSpace(right), 0, 32)
	}
	switch {
	case errV != nil || errM != nil || m == 0:
		return 0, 0, fmt.Errorf("%q is no mark: write a number, or \"0x10/0xf0\" for some of its bits", s)
	case v&^m != 0:
		return 0, 0, fmt.Errorf("%q: the mark has bits that are not in the mask behind the /", s)
	}
	return uint32(v), uint32(m), nil
}

func userID(name string) (uint64, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, fmt.Errorf("this host knows no user %q", name)
	}
	return strconv.ParseUint(u.Uid, 10, 32)
}

func groupID(name string) (uint64, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("this host knows no group %q", name)
	}
	return strconv.ParseUint(g.Gid, 10, 32)
}

// codePoint gives the number of a differentiated services class (RFC 2474,
// 2597, 3246, 5865).
func codePoint(name string) (uint64, error) {
	for n := range uint64(64) {
		if codePointName(n) == strings.ToLower(name) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%q is no DSCP: write a number from 0 to 63, or a class: cs0 to cs7, af11 to af43, ef, va, le", name)
}

func codePointName(n uint64) string {
	class, drop := n>>3, n>>1&3
	switch {
	case n == 1:
		return "le"
	case n == 44:
		return "va"
	case n == 46:
		return "ef"
	case n&7 == 0:
		return fmt.Sprintf("cs%d", class)
	case n&1 == 0 && class >= 1 && class <= 4:
		return fmt.Sprintf("af%d%d", class, drop)
	}
	return ""
}
