package pattern

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/yuin/gopher-lua/pm"
)

// match is a match as Lua's string.find would return it, captures as text.
type match struct {
	Start, End int
	Captures   []string
}

func find(text, pat string, from, steps int) (*match, error) {
	m := New(text, pat, steps)
	start, end, found, err := m.Find(from)
	if err != nil || !found {
		return nil, err
	}
	got := &match{Start: start, End: end}
	for _, c := range m.Captures() {
		if c.Position {
			got.Captures = append(got.Captures, "()")
		} else {
			got.Captures = append(got.Captures, text[c.Start:c.End])
		}
	}
	return got, nil
}

func TestFind(t *testing.T) {
	for _, tc := range []struct {
		text, pat string
		from      int
		want      *match
	}{
		{"hello", "l+", 0, &match{2, 4, nil}},
		{"hello", "^l", 0, nil},
		{"hello", "^l", 2, &match{2, 3, nil}},
		{"hello", "o$", 0, &match{4, 5, nil}},
		{"a$b", "a$b", 0, &match{0, 3, nil}},
		{"", "", 0, &match{0, 0, nil}},
		{"abc", "", 3, &match{3, 3, nil}},
		{"key = value", "(%w+)%s*=%s*(%w+)", 0, &match{0, 11, []string{"key", "value"}}},
		{"abc", "()b()", 0, &match{1, 2, []string{"()", "()"}}},
		{"f(a(b)c)d", "%b()", 0, &match{1, 8, nil}},
		{"THE (quick) fox", "%f[%a]%a+%f[%A]", 3, &match{5, 10, nil}},
		{`say "it's"`, `(["'])(.-)%1`, 0, &match{4, 10, []string{`"`, "it's"}}},
		{"a]b-c^", "[]]", 0, &match{1, 2, nil}},
		{"a]b-c^", "[^%w]+", 0, &match{1, 2, nil}},
		{"a-z", "[a-]+", 0, &match{0, 2, nil}},
		{"x%d", "%%d", 0, &match{1, 3, nil}},
		{"aXb", "%u", 0, &match{1, 2, nil}},
		{"aXb", "[%U]+", 1, &match{2, 3, nil}},
		{"a\x00b", "%z", 0, &match{1, 2, nil}},
		{"aaab", "a-b", 0, &match{0, 4, nil}},
		{"aab", "a?a?a?b", 0, &match{0, 3, nil}},
		{"\xff\xfe", "%w", 0, nil},
	} {
		got, err := find(tc.text, tc.pat, tc.from, 10000)
		if err != nil {
			t.Errorf("find(%q, %q): %v", tc.text, tc.pat, err)
		} else if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("find(%q, %q): -want +got\n%s", tc.text, tc.pat, diff)
		}
	}
}

func TestMalformed(t *testing.T) {
	for pat, want := range map[string]string{
		"(a":                      "unfinished capture",
		"a)":                      "')' without '('",
		"[a":                      "missing ']'",
		"[]":                      "missing ']'",
		"a%":                      "ends with '%'",
		"%bx":                     "missing arguments",
		"%fa":                     "missing '['",
		"%1":                      "invalid capture index",
		"(%1)":                    "invalid capture index",
		strings.Repeat("()", 33):  "too many captures",
		strings.Repeat("a*", 300): "too complex",
	} {
		_, err := find("aaaa", pat, 0, 1_000_000)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("find(aaaa, %q): got %v, want %q", pat, err, want)
		}
	}
}

// Backtracking patterns, and long sets, captures and texts, end at the limit.
func TestSteps(t *testing.T) {
	long := strings.Repeat("a", 1<<16)
	for _, tc := range []struct{ text, pat string }{
		{long[:64], ".-.-.-.-.-.-.-.-b"},
		{long[:64], strings.Repeat("a?", 64) + "b"},
		{long, ".-b"},
		{long, "a*a*b"},
		{long, "%b()" + "b"},
		{long, "%bab"},
		{long, "[" + strings.Repeat("b", 1000) + "]"},
		{long, "(a*)%1%1b"},
		{long, "%f[" + strings.Repeat("b", 1000) + "]"},
	} {
		m := New(tc.text, tc.pat, 100_000)
		_, _, found, err := m.Find(0)
		if found {
			t.Errorf("%.20q found", tc.pat)
		}
		if tc.pat == "%b()b" {
			continue // each try ends at once
		}
		if !errors.Is(err, ErrSteps) {
			t.Errorf("%.20q: got %v with %d steps left", tc.pat, err, m.Steps)
		}
	}
}

// FuzzAgainstGopherLua compares with gopher-lua's own matcher where that one
// follows Lua 5.1.
func FuzzAgainstGopherLua(f *testing.F) {
	for _, pat := range []string{"a*b", "(a-)(b)", "[^%s]+", "%bab", "()a()", "(a)%1", "^a+$", "[a-c%d]?", "a$"} {
		f.Add("aab ab1 cab", pat)
	}
	f.Fuzz(func(t *testing.T, text, pat string) {
		if len(text) > 12 || len(pat) > 12 || !comparable(pat) {
			return
		}
		got, err := find(text, pat, 0, 1_000_000)
		mds, oracle := pm.Find(pat, []byte(text), 0, 1)
		if err != nil || oracle != nil {
			return // gopher-lua parses the whole pattern first, Lua as far as it matches
		}
		var want *match
		if len(mds) > 0 {
			want = toMatch(text, mds[0])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("find(%q, %q): -gopher-lua +got\n%s", text, pat, diff)
		}
	})
}

func toMatch(text string, md *pm.MatchData) *match {
	m := &match{Start: md.Capture(0), End: md.Capture(1)}
	for i := 2; i < md.CaptureLength(); i += 2 {
		if md.IsPosCapture(i) {
			m.Captures = append(m.Captures, "()")
		} else {
			m.Captures = append(m.Captures, text[md.Capture(i):md.Capture(i+1)])
		}
	}
	return m
}

// comparable says whether gopher-lua's matcher follows Lua 5.1 for a pattern. It
// has no %f, gets %1 wrong for a position and inside its own capture, and reads
// - and % in sets differently.
func comparable(pat string) bool {
	if strings.Contains(pat, "%f") {
		return false
	}
	if strings.Contains(pat, "(") && strings.ContainsAny(pat, "%") {
		return false
	}
	return !strings.Contains(pat, "[") || !strings.ContainsAny(pat, "-%")
}
