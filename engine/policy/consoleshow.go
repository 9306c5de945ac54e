package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	lua "github.com/yuin/gopher-lua"
)

// The bounds of what a console shows.
const (
	maxShown      = 16 << 10 // bytes, of all values together
	maxShownText  = 1 << 10  // bytes of one text
	maxShownItems = 100      // of one table
	maxShownDepth = 5        // tables in tables
)

// show writes values for people: a table with what is in it, the names in order.
type show struct {
	left int // bytes that may still be written
	path []*lua.LTable
}

func newShow() *show { return &show{left: maxShown} }

func (s *show) text(v lua.LValue) string {
	var b strings.Builder
	s.write(&b, v, "")
	s.left -= b.Len()
	return b.String()
}

func (s *show) write(b *strings.Builder, v lua.LValue, indent string) {
	switch v := v.(type) {
	case lua.LString:
		b.WriteString(quotedText(string(v)))
	case *lua.LTable:
		s.table(b, v, indent)
	case *lua.LFunction:
		b.WriteString("function")
	case *lua.LUserData:
		if o, ok := v.Value.(interface{ String() string }); ok {
			b.WriteString(o.String())
			return
		}
		b.WriteString("an object")
	default:
		b.WriteString(v.String())
	}
}

// quotedText is a text as Lua would write it, cut where it is long.
func quotedText(s string) string {
	if len(s) <= maxShownText {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:maxShownText], len(s))
}

func (s *show) table(b *strings.Builder, t *lua.LTable, indent string) {
	switch {
	case slices.Contains(s.path, t):
		b.WriteString("{ … itself … }")
		return
	case len(s.path) == maxShownDepth:
		b.WriteString("{ … }")
		return
	}
	s.path = append(s.path, t)
	defer func() { s.path = s.path[:len(s.path)-1] }()
	lines, more := s.entries(t, indent+"  ")
	if more > 0 {
		lines = append(lines, fmt.Sprintf("… and %d more", more))
	}
	short := strings.Join(lines, ", ")
	switch {
	case len(lines) == 0:
		b.WriteString("{}")
	case len(short) < 80 && !strings.Contains(short, "\n"):
		b.WriteString("{ " + short + " }")
	default:
		b.WriteString("{\n")
		for _, l := range lines {
			b.WriteString(indent + "  " + l + ",\n")
		}
		b.WriteString(indent + "}")
	}
}

// entries writes a table's entries, the list first, and then the names in order.
func (s *show) entries(t *lua.LTable, indent string) (lines []string, more int) {
	size, count := 0, 0
	add := func(key string, v lua.LValue) {
		if count++; count > maxShownItems || size > s.left {
			more++
			return
		}
		var b strings.Builder
		b.WriteString(key)
		s.write(&b, v, indent)
		size += b.Len()
		lines = append(lines, b.String())
	}
	n := t.Len()
	for i := 1; i <= n; i++ {
		add("", t.RawGetInt(i))
	}
	keys := map[string]lua.LValue{}
	for k, v := range pairs(t) {
		if i, ok := k.(lua.LNumber); ok && i >= 1 && int(i) <= n && lua.LNumber(int(i)) == i {
			continue
		}
		if len(keys) > maxShownItems {
			count, more = count+1, more+1
			continue
		}
		keys[keyText(k)] = v
	}
	names := make([]string, 0, len(keys))
	for k := range keys {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		add(k+" = ", keys[k])
	}
	return lines, more
}

func keyText(k lua.LValue) string {
	if name, ok := k.(lua.LString); ok {
		if isName(string(name)) {
			return string(name)
		}
		return "[" + quotedText(string(name)) + "]"
	}
	return "[" + k.String() + "]"
}

// isName reports whether a text can stand as a name in Lua.
func isName(s string) bool {
	for i, c := range s {
		if c != '_' && (c > unicode.MaxASCII || !unicode.IsLetter(c) && (i == 0 || !unicode.IsDigit(c))) {
			return false
		}
	}
	return s != ""
}

// plainJSON is a value as JSON has it, within the same bounds.
func plainJSON(v lua.LValue) any {
	left := maxShown / 8
	return jsonValue(v, maxShownDepth, &left)
}

func jsonValue(v lua.LValue, depth int, left *int) any {
	if *left--; *left < 0 {
		return "…"
	}
	switch v := v.(type) {
	case *lua.LNilType:
		return nil
	case lua.LBool:
		return bool(v)
	case lua.LNumber:
		if v != v || v-v != 0 {
			return v.String() // JSON has no such numbers
		}
		return float64(v)
	case lua.LString:
		return strings.ToValidUTF8(string(v[:min(len(v), maxShownText)]), "\uFFFD")
	case *lua.LTable:
		if depth == 0 {
			return "…"
		}
		return jsonTable(v, depth, left)
	}
	return newShow().text(v)
}

// jsonTable is a list where the table is one, and otherwise an object.
func jsonTable(t *lua.LTable, depth int, left *int) any {
	list, named := []any{}, map[string]any{}
	n := t.Len()
	for i := 1; i <= n && *left > 0; i++ {
		list = append(list, jsonValue(t.RawGetInt(i), depth-1, left))
	}
	for k, v := range pairs(t) {
		if i, ok := k.(lua.LNumber); ok && i >= 1 && int(i) <= n {
			continue
		}
		if *left <= 0 {
			break
		}
		named[strings.ToValidUTF8(k.String(), "\uFFFD")] = jsonValue(v, depth-1, left)
	}
	if len(named) == 0 {
		return list
	}
	for i, v := range list {
		named[fmt.Sprint(i+1)] = v
	}
	return named
}

// showPrefix writes a host as an address.
func showPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
