package ruleset

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"moonlatch/engine/netns/netnstest"
)

// TestValidate gives one mistake each to an otherwise good ruleset.
func TestValidate(t *testing.T) {
	pos := Pos{"web.lua", 12}
	accept := Verdict{Kind: "accept"}
	stream := &Stream{Name: "closed", Pos: pos}
	long := strings.Repeat("x", 60)
	with := func(r *Rule) *Ruleset {
		r.Pos = pos
		if r.Name == "" {
			r.Name = "web"
		}
		return &Ruleset{Chains: []*Chain{{Name: "input", Hook: "input", Type: "filter", Priority: "filter", Policy: "drop", Rules: []*Rule{r}}}}
	}
	base := &Chain{Name: "other", Hook: "forward"}
	tests := []struct {
		name string
		set  *Ruleset
		want string
	}{
		{"two chains of a name", &Ruleset{Chains: []*Chain{{Name: "a", Pos: Pos{"web.lua", 1}}, {Name: "a", Pos: pos}}}, `web.lua:12: chain "a" is declared twice, first at web.lua:1`},
		{"two rules of a name", &Ruleset{Chains: []*Chain{{Name: "a", Rules: []*Rule{{Name: "r", Pos: Pos{"web.lua", 1}}, {Name: "r", Pos: pos}}}}}, `web.lua:12: rule "r" stands twice in chain "a", first at web.lua:1: a rule's name is its identity in metrics and counters`},
		{"bad name", &Ruleset{Chains: []*Chain{{Name: "in put", Pos: pos}}}, `web.lua:12: chain name "in put" must start with a letter and hold only letters, digits, _ and -`},
		{"reserved name", &Ruleset{Sets: []*Set{{Name: "lease", Pos: pos}}}, `web.lua:12: set name "lease" is used by Moonlatch itself`},
		{"half of a set", &Ruleset{Sets: []*Set{{Name: "bad", Addrs: addresses(t)}, {Name: "bad4", Ports: []PortRange{{1, 1}}, Pos: pos}}}, `web.lua:12: set name "bad4" is what the kernel calls a half of the set "bad": choose another`},
		{"two protocols", with(&Rule{Fields: []Field{Ports{Proto: "tcp"}, Ports{Proto: "udp"}}}), `web.lua:12: rule "web" asks for tcp and udp at once, and no packet is both: write two rules`},
		{"both families", with(&Rule{Fields: []Field{Addr{Addrs: addrs(t, "192.0.2.1")}, Addr{Dir: Dst, Addrs: addrs(t, "2001:db8::1")}}}), `web.lua:12: rule "web" can never match: its fields ask for IPv4 and IPv6 at once`},
		{"behind a verdict", with(&Rule{Items: []Item{accept, Log{stream}}}), `web.lua:12: rule "web" goes on after its verdict "accept": nothing behind a verdict is ever reached, so put it last`},
		{"jump to a base chain", with(&Rule{Items: []Item{Verdict{Kind: "jump", To: base}}}), `web.lua:12: rule "web": jump to chain "other" is not possible, because that chain has a hook: the kernel calls it`},
		{"return in a branch", with(&Rule{Items: []Item{Trap{Timeout: time.Hour}, Verdict{Kind: "return"}}}), `web.lua:12: rule "web": return cannot stand beside a trap or a stream with a rate: put it into a rule of its own`},
		{"unknown set in text", &Ruleset{Sets: []*Set{{Name: "feed", Addrs: addresses(t)}}, Chains: with(&Rule{Items: []Item{Text("ip saddr @fede")}}).Chains}, `web.lua:12: rule "web": unknown set "@fede" (did you mean "feed"?)`},
		{"two lines of text", with(&Rule{Items: []Item{Text("accept\nflush ruleset")}}), `web.lua:12: rule "web": nft text "accept\nflush ruleset" must be one statement on one line: no line break, semicolon or comment, and braces and quotes in pairs`},
		{"escape from the chain", with(&Rule{Items: []Item{Text("accept }")}}), `web.lua:12: rule "web": nft text "accept }" must be one statement on one line: no line break, semicolon or comment, and braces and quotes in pairs`},
		{"braces crossed", with(&Rule{Items: []Item{Text("} accept {")}}), `must be one statement on one line`},
		{"behind a verdict in text", with(&Rule{Items: []Item{Text("tcp dport 22 accept"), Log{stream}}}), `web.lua:12: rule "web" goes on after its verdict "accept": nothing behind a verdict is ever reached, so put it last`},
		{"chain named by a keyword", &Ruleset{Chains: []*Chain{{Name: "fwd", Pos: pos}}}, `web.lua:12: chain name "fwd": "fwd" is a word of nft's language, and nft takes it for nothing else: choose another`},
		{"set named by a keyword", &Ruleset{Sets: []*Set{{Name: "ip", Addrs: addresses(t), Pos: pos}}}, `web.lua:12: set name "ip": "ip6" is a word of nft's language, and nft takes it for nothing else: choose another`},
		{"quote in a name", with(&Rule{Name: `a"b`}), `web.lua:12: rule name "a\"b" holds '"', which a kernel comment cannot`},
		{"a gate's name", with(&Rule{Name: LeaseComment}), `web.lua:12: rule name "moonlatch lease" begins with "moonlatch ", as the comments of Moonlatch's own rules do`},
		{"bytes in a name", with(&Rule{Name: "a\xff"}), `web.lua:12: rule name "a\xff" is not UTF-8`},
		{"long prefix", &Ruleset{Chains: []*Chain{{Name: long, Rules: []*Rule{{Name: long, Pos: pos, Items: []Item{Log{stream}}}}}}}, `and the kernel takes 127: shorten the names of stream, chain or rule`},
		{"interface", with(&Rule{Fields: []Field{Interface{Names: []string{"an-interface-too-long"}}}}), `web.lua:12: rule "web": "an-interface-too-long" is no interface name: 1 to 15 bytes without blanks, quotes or slashes`},
		{"trap outside inet", &Ruleset{Chains: []*Chain{{Name: "b", Family: Bridge, Rules: []*Rule{{Name: "r", Pos: pos, Items: []Item{Trap{Timeout: time.Hour}}}}}}}, `web.lua:12: rule "r": a trap works in inet chains only, and "b" is a bridge chain`},
	}
	for _, tt := range tests {
		err := tt.set.Validate()
		if err == nil {
			t.Errorf("%s: no error, want %s", tt.name, tt.want)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, err, tt.want)
		}
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"tcp", "udp", "limit", "established"}
	for word, want := range map[string]string{
		"tpc": ` (did you mean "tcp"?)`, "limt": ` (did you mean "limit"?)`,
		"estabished": ` (did you mean "established"?)`, "qqqqqq": "", "": "",
	} {
		if got := Suggest(word, known); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", word, got, want)
		}
	}
}

// TestKeywords asks nft itself. It knows fewer words here than later versions do.
func TestKeywords(t *testing.T) {
	netnstest.New(t).Do(func() error {
		refused := func(name string) bool {
			cmd := exec.Command("nft", "-c", "-f", "-")
			cmd.Stdin = strings.NewReader("table inet t { chain " + name + " { }\n}\n")
			return cmd.Run() != nil
		}
		later := []string{"destroy", "geneve", "gre", "gretap", "last", "vxlan"}
		for _, w := range strings.Fields(keywords) {
			if !slices.Contains(later, w) && !refused(w) {
				t.Errorf("nft takes %q as a name", w)
			}
		}
		for _, w := range []string{"input", "ssh", "web", "dns", "admins", "state", "dport"} {
			if keyword(w) || refused(w) {
				t.Errorf("%q is no keyword", w)
			}
		}
		return nil
	})
}

func TestDivideText(t *testing.T) {
	for text, want := range map[string][2]string{
		"tcp dport 22 accept":                       {"tcp dport 22", "accept"},
		"accept":                                    {"", "accept"},
		"tcp dport 22 jump ssh_in":                  {"tcp dport 22", "jump ssh_in"},
		"ip saddr 192.0.2.1 dnat ip to ::1":         {"ip saddr 192.0.2.1", "dnat ip to ::1"},
		"tcp dport 22":                              {"tcp dport 22", ""},
		"ct status dnat":                            {"ct status dnat", ""},
		"icmp type redirect":                        {"icmp type redirect", ""},
		"icmp type redirect drop":                   {"icmp type redirect", "drop"},
		"tcp dport vmap { 22 : accept, 23 : drop }": {"tcp dport vmap { 22 : accept, 23 : drop }", ""},
		`log prefix "x drop" drop`:                  {`log prefix "x drop"`, "drop"},
		"queue num 1":                               {"", "queue num 1"},
	} {
		if before, end := divideText(text); before != want[0] || end != want[1] {
			t.Errorf("divideText(%q) = %q, %q, want %q", text, before, end, want)
		}
	}
}
