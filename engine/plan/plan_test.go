package plan

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stored is a generation as it is stored: on trial, with a lease and a yield.
const stored = `table inet moonlatch_7 {
	set lease { typeof meta nfproto; flags timeout; }
	set alive { typeof meta nfproto; flags timeout; timeout 30s0ms; }
	set feed4 { type ipv4_addr; flags interval; elements = { 192.0.2.0/24, 198.51.100.7 }; }
	set limit.input.any_web.3.1.4 { type ipv4_addr; size 65535; flags dynamic,timeout; timeout 60s0ms; }
	counter hits { }
	chain input {
		type filter hook input priority filter; policy drop;
		meta nfproto != @lease accept comment "moonlatch lease"
		meta nfproto != @alive accept comment "moonlatch alive"
		ip saddr @feed4 counter drop comment "feed"
		meta nfproto ipv4 tcp dport 80 update @limit.input.any_web.3.1.4 { ip saddr limit rate 1/second } counter accept comment "any web"
	}
	chain by_hand {
		ip saddr @feed4 counter
	}
}
table bridge moonlatch_7 {
	chain input {
		type filter hook input priority 0; policy accept;
	}
}
`

func TestEqual(t *testing.T) {
	other := strings.NewReplacer("moonlatch_7", "moonlatch_8", "any_web.3.1.4", "any_web.9.1.4").Replace(stored)
	other = strings.Replace(other, "\tset lease { typeof meta nfproto; flags timeout; }\n", "", 1)
	other = strings.Replace(other, "\t\tmeta nfproto != @lease accept comment \"moonlatch lease\"\n", "", 1)
	if got := Compare(Parse(stored, nil), Parse(other, nil)); got != nil {
		t.Errorf("number, gates and indexes are no differences, and these were found: %+v", got)
	}
}

func TestDifferences(t *testing.T) {
	for _, test := range []struct {
		old, new string // replaced in stored
		want     []Change
	}{
		{"drop comment \"feed\"", "accept comment \"feed\"", []Change{{Action: Changed, Kind: "rule", Chain: "input", Name: "feed",
			Old: []string{"ip saddr @feed4 counter drop"}, New: []string{"ip saddr @feed4 counter accept"}}}},
		{", 198.51.100.7", ", 198.51.100.8", []Change{{Action: Changed, Kind: "set elements", Name: "feed4", Old: []string{"198.51.100.7"}, New: []string{"198.51.100.8"}}}},
		{"policy drop", "policy accept", []Change{{Action: Changed, Kind: "chain", Name: "input",
			Old: []string{"type filter hook input priority filter; policy drop;"}, New: []string{"type filter hook input priority filter; policy accept;"}}}},
		{"counter hits", "counter bits", []Change{{Action: Added, Kind: "counter", Name: "bits"}, {Action: Removed, Kind: "counter", Name: "hits"}}},
		{"priority 0; policy accept", "priority 1; policy accept", []Change{{Action: Changed, Kind: "bridge chain", Name: "input",
			Old: []string{"type filter hook input priority 0; policy accept;"}, New: []string{"type filter hook input priority 1; policy accept;"}}}},
		{"\t\tip saddr @feed4 counter\n", "", []Change{{Action: Removed, Kind: "rule", Chain: "by_hand", Name: "ip saddr @feed4 counter", Old: []string{"ip saddr @feed4 counter"}}}},
		{"rate 1/second", "rate 2/second", []Change{{Action: Changed, Kind: "rule", Chain: "input", Name: "any web",
			Old: []string{"meta nfproto ipv4 tcp dport 80 update @limit.input.any_web.4 { ip saddr limit rate 1/second } counter accept"},
			New: []string{"meta nfproto ipv4 tcp dport 80 update @limit.input.any_web.4 { ip saddr limit rate 2/second } counter accept"}}}},
	} {
		if !strings.Contains(stored, test.old) {
			t.Fatalf("%q is not in the text", test.old)
		}
		got := Compare(Parse(stored, nil), Parse(strings.Replace(stored, test.old, test.new, 1), nil))
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%q → %q (-want +got):\n%s", test.old, test.new, diff)
		}
	}
}

// Whatever is reordered, moving the rules that are said to move, and no others,
// gives the new order.
func TestMoved(t *testing.T) {
	chain := func(names []int) string {
		var b strings.Builder
		b.WriteString("table inet moonlatch_1 {\n\tchain c {\n")
		for _, n := range names {
			fmt.Fprintf(&b, "\t\tcounter comment \"r%d\"\n", n)
		}
		b.WriteString("\t}\n}\n")
		return b.String()
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		n := r.IntN(12)
		old, now := r.Perm(n), r.Perm(n)
		moved := map[int]bool{}
		for _, c := range Compare(Parse(chain(old), nil), Parse(chain(now), nil)) {
			var k int
			if _, err := fmt.Sscanf(c.Name, "r%d", &k); c.Action != Moved || err != nil {
				t.Fatalf("not moved: %+v", c)
			}
			moved[k] = true
		}
		stay := func(list []int) []int {
			return slices.DeleteFunc(slices.Clone(list), func(k int) bool { return moved[k] })
		}
		if !slices.Equal(stay(old), stay(now)) {
			t.Fatalf("%v → %v: moving %v is not enough", old, now, moved)
		}
		if slices.Equal(old, now) && len(moved) > 0 {
			t.Fatalf("%v is in order, and %v are said to move", old, moved)
		}
	}
}

// What packets fill is nobody's doing, and nft lists long sets over several lines.
func TestDrift(t *testing.T) {
	const meant = `table inet moonlatch_1 {
	set ports {
		type inet_service
		flags interval
		elements = { 22, 80-90,
			     443 }
	}

	set seen {
		type ipv4_addr
		size 10
		flags dynamic,timeout
		elements = { 192.0.2.1 timeout 1m }
	}
}
`
	held := strings.NewReplacer("443 }", "444 }", "192.0.2.1", "192.0.2.2").Replace(meant)
	want := []Change{{Action: Changed, Kind: "set elements", Name: "ports", Old: []string{"443"}, New: []string{"444"}}}
	if diff := cmp.Diff(want, Drift(Parse(meant, nil), Parse(held, nil))); diff != "" {
		t.Error(diff)
	}
	if got := Drift(Parse(meant, nil), Parse(meant+meant, nil)); got != nil {
		t.Errorf("a listing that says it twice differs: %+v", got)
	}
}

// FuzzParse reads whatever text a stored generation may hold.
func FuzzParse(f *testing.F) {
	f.Add(stored)
	for _, name := range []string{"objects", "actions", "limits"} {
		if text, err := os.ReadFile("../policy/testdata/policies/" + name + ".nft"); err == nil {
			f.Add(string(text))
		} else {
			f.Fatal(err)
		}
	}
	f.Add("table inet x {\n\tchain c {\na\nb\na\n}\n}\n")
	f.Add("table\nx {\n}}\n{")
	f.Fuzz(func(t *testing.T, text string) {
		l := Parse(text, nil)
		if c := Compare(l, Parse(text, nil)); c != nil {
			t.Errorf("a text differs from itself: %+v", c)
		}
	})
}
