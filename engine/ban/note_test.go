package ban

import (
	"net/netip"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func diffNotes(a, b note) string {
	return cmp.Diff(a, b, cmp.AllowUnexported(note{}), cmpopts.EquateComparable(netip.Prefix{}))
}

func TestNote(t *testing.T) {
	for _, tt := range []struct {
		comment string
		n       note
	}{
		{"portscan: 11 ports in 2s", note{by: "portscan", why: "11 ports in 2s", origin: Local}},
		{"portscan", note{by: "portscan", origin: Local}},
		{"manual: enough: really", note{by: "manual", why: "enough: really", origin: Manual}},
		{"manual by root: enough", note{by: "root", why: "enough", origin: Manual}},
		{"manual", note{by: "manual", origin: Manual}},
		{"part of 192.0.2.0/24, portscan: why", note{by: "portscan", why: "why", origin: Local, whole: netip.MustParsePrefix("192.0.2.0/24")}},
		{"policy manual: why", note{by: "policy manual", why: "why", origin: Local}},
	} {
		if got := tt.n.comment(); got != tt.comment {
			t.Errorf("comment of %+v is %q, want %q", tt.n, got, tt.comment)
		}
		if diff := diffNotes(tt.n, parseNote(tt.comment)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.comment, diff)
		}
	}
}

// TestNoteKeepsOrigin: no name of a detector makes its bans a person's.
func TestNoteKeepsOrigin(t *testing.T) {
	for _, by := range []string{"", "manual", "manual by root", "part of 192.0.2.0/24, x", "a: b", "manual: x", " manual ", "\x00manual"} {
		for _, origin := range []Origin{Local, Manual} {
			if got := parseNote(note{by: by, why: "why", origin: origin}.comment()); got.origin != origin || got.why != "why" || got.whole.IsValid() {
				t.Errorf("%q, %s came back as %+v", by, origin, got)
			}
		}
	}
}

// FuzzParseNote: anybody with rights can write any comment, and what was read once is read the same again.
func FuzzParseNote(f *testing.F) {
	for _, s := range []string{"", ": ", "portscan: why", "manual", "manual by : x", "part of 192.0.2.0/24, part of 192.0.2.0/24, x", "part of x, y", "manual by manual by x: y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := parseNote(s)
		if n.by == "" || n.origin != Local && n.origin != Manual {
			t.Fatalf("%q gave %+v", s, n)
		}
		c := n.comment()
		if len(c) > 128 || !utf8.ValidString(c) {
			t.Fatalf("%q gave the comment %q", s, c)
		}
		if again := parseNote(c); len(c) < 100 && again.comment() != c {
			t.Fatalf("%q gave %q and then %q", s, c, again.comment())
		}
	})
}
