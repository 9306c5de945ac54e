package ruleset

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go4.org/netipx"

	"moonlatch/engine/netns/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// addrs makes an address set of prefixes and ranges.
func addrs(t testing.TB, texts ...string) *netipx.IPSet {
	t.Helper()
	var b netipx.IPSetBuilder
	for _, s := range texts {
		if strings.Contains(s, "-") {
			b.AddRange(netipx.MustParseIPRange(s))
		} else if strings.Contains(s, "/") {
			b.AddPrefix(netip.MustParsePrefix(s))
		} else {
			b.Add(netip.MustParseAddr(s))
		}
	}
	set, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// addresses makes the same for a named set.
func addresses(t testing.TB, texts ...string) *Addresses {
	var b AddressesBuilder
	for _, r := range addrs(t, texts...).Ranges() {
		b.Add(r)
	}
	return b.Addresses()
}

// everything is a ruleset that uses each field and item at least once.
func everything(t testing.TB) *Ruleset {
	admins := &Set{Name: "admins", Addrs: addresses(t, "192.0.2.0/28", "2001:db8::/48"), Pos: Pos{"all.lua", 1}}
	hosts := &Set{Name: "hosts", Addrs: addresses(t, "198.51.100.7", "198.51.100.9"), Pos: Pos{"all.lua", 2}}
	ports := &Set{Name: "mail", Ports: []PortRange{{25, 25}, {465, 465}, {6000, 6100}}, Pos: Pos{"all.lua", 3}}
	closed := &Stream{Name: "closed"}
	slow := &Stream{Name: "slow", Snaplen: 64, Rate: &Rate{Packets: 100, Unit: "second", Burst: 20}}
	sub := &Chain{Name: "ssh_in", Pos: Pos{"all.lua", 4}, Rules: []*Rule{
		{Name: "ok", Pos: Pos{"all.lua", 5}, Items: []Item{Verdict{Kind: "accept"}}},
	}}
	line := 10
	rule := func(name string, fields []Field, items ...Item) *Rule {
		line++
		return &Rule{Name: name, Fields: fields, Items: items, Pos: Pos{"all.lua", line}}
	}
	accept, drop := Verdict{Kind: "accept"}, Verdict{Kind: "drop"}
	input := &Chain{Name: "input", Hook: "input", Type: "filter", Priority: "filter", Policy: "drop", Pos: Pos{"all.lua", 10}, Rules: []*Rule{
		rule("replies", []Field{ConnState{States: []string{"established", "related"}}}, accept),
		rule("loopback", []Field{Interface{Names: []string{"lo"}}}, accept),
		rule("vpn", []Field{Interface{Names: []string{"wg*", "tun0", "tun1"}}}, accept),
		rule("not-vpn", []Field{Interface{Not: true, Names: []string{"wg*", "tun0", "tun1"}}, ConnState{Not: true, States: []string{"new", "invalid"}}}, accept),
		rule("ssh", []Field{Ports{Proto: "tcp", Dir: Dst, Ranges: []PortRange{{22, 22}}}, Addr{Sets: []*Set{admins}}}, Verdict{Kind: "jump", To: sub}),
		rule("mixed", []Field{Addr{Addrs: addrs(t, "203.0.113.1", "203.0.113.4-203.0.113.9"), Sets: []*Set{admins, hosts}}}, drop),
		rule("not-admins", []Field{Addr{Not: true, Sets: []*Set{admins, hosts}}, Ports{Proto: "tcp", Dir: Dst, Ranges: []PortRange{{81, 81}}}}, drop),
		rule("not-v4", []Field{Addr{Not: true, Addrs: addrs(t, "203.0.113.1")}}, Syslog{Prefix: "odd "}),
		rule("mail", []Field{Ports{Proto: "tcp", Dir: Dst, Sets: []*Set{ports}, Ranges: []PortRange{{80, 80}, {8000, 8100}}}, Ports{Proto: "tcp", Dir: Src, Ranges: []PortRange{{1024, 65535}}}}, accept),
		rule("any udp", []Field{Ports{Proto: "udp"}, Protocols{Not: true, Numbers: []uint8{50, 51}}}, drop),
		rule("ping", []Field{ICMP{V4: []uint8{8}, V6: []uint8{128}}, Limit{Rate: Rate{Packets: 10, Unit: "second"}}}, accept),
		rule("icmp", []Field{ICMP{}, Limit{Rate: Rate{Packets: 10, Unit: "second"}, Over: true}}, drop),
		rule("web", []Field{Ports{Proto: "tcp", Dir: Dst, Ranges: []PortRange{{443, 443}}}, Limit{Rate: Rate{Packets: 200, Unit: "second", Burst: 50}, PerSource: true, Bits4: 24, Bits6: 64}}, accept),
		rule("slow text", []Field{Limit{Rate: Rate{Packets: 3, Unit: "minute"}}}, Text("tcp dport 7"), Log{closed}, accept),
		rule("odd", nil, Text("tcp flags & (fin|syn) == (fin|syn)"), drop),
		rule("text set", nil, Text("ip6 saddr @admins"), Text("tcp dport @mail"), Verdict{Kind: "reject", With: "tcp reset"}),
		rule("syn", []Field{TCPFlags{Set: 0x02, Mask: 0x17}}, Log{closed}, drop),
		rule("null", []Field{TCPFlags{Set: 0, Mask: 0x3f}}, Log{slow}, drop),
		rule("text verdict", nil, Text("ct status dnat"), Text("tcp dport 8 reject with tcp reset")),
		rule("text behind a rate", nil, Log{slow}, Text("tcp dport 9 accept")),
		rule("not icmp", []Field{ICMP{Not: true, V4: []uint8{4}}}, drop),
		rule("dns", []Field{Protocols{Numbers: []uint8{6, 17}}, Ports{Proto: "th", Dir: Dst, Ranges: []PortRange{{53, 53}}}}, accept),
		rule("telnet", []Field{Ports{Proto: "tcp", Dir: Dst, Ranges: []PortRange{{23, 23}}}}, Trap{Timeout: 24 * time.Hour}, drop),
	}}
	frames := &Chain{Name: "frames", Family: Bridge, Hook: "forward", Type: "filter", Priority: "0", Policy: "accept", Pos: Pos{"all.lua", 60}, Rules: []*Rule{
		rule("hosts", []Field{Addr{Sets: []*Set{hosts}}}, drop),
	}}
	return &Ruleset{
		Policy: "all.lua", Chains: []*Chain{sub, input, frames}, Sets: []*Set{admins, hosts, ports},
		Streams: []*Stream{closed, slow}, Protected: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("2001:db8::1/128")},
	}
}

// nft runs nft on a script and returns what it says.
func nft(t *testing.T, script string, args ...string) string {
	t.Helper()
	cmd := exec.Command("nft", args...)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("nft %s: %v\n%s\n%s", strings.Join(args, " "), err, out, script)
	}
	return string(out)
}

// TestRender compares the rendered text with the golden file, loads it into
// the kernel, and compares what the kernel lists with the other golden file.
func TestRender(t *testing.T) {
	r := everything(t)
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"confirmed": {Generation: 8},
		"trial":     {Generation: 8, Trial: true},
		"alive":     {Generation: 8, Trial: true, Alive: 30 * time.Second},
	} {
		script := r.Render(o)
		golden(t, name+".nft", script.String())
		netnstest.New(t).Do(func() error {
			nft(t, script.String(), "-f", "-")
			golden(t, name+".list", nft(t, "", "-s", "list", "ruleset"))
			return nil
		})
	}
}

// TestLinePositions holds every line of a rule to the rule's place in the policy.
func TestLinePositions(t *testing.T) {
	r := everything(t)
	script := r.Render(Options{Generation: 1, Trial: true})
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			found := 0
			for i, line := range strings.Split(script.String(), "\n") {
				if !strings.HasSuffix(line, "comment \""+rule.Name+"\"") {
					continue
				}
				found++
				if pos, ok := script.Pos(i + 1); !ok || pos.File != rule.Pos.File {
					t.Errorf("line %d of rule %q: position %v, %v", i+1, rule.Name, pos, ok)
				}
			}
			if found == 0 {
				t.Errorf("rule %q has no line", rule.Name)
			}
		}
	}
	if _, ok := script.Pos(0); ok {
		t.Error("line 0 has a position")
	}
	if _, ok := script.Pos(10_000); ok {
		t.Error("line 10,000 has a position")
	}
}

// hook is where a chain of the family can stand in any namespace.
func hook(f Family) string {
	if f == Netdev {
		return "ingress device " + device(f)
	}
	return "input"
}

func device(f Family) string {
	if f == Netdev {
		return "lo"
	}
	return ""
}

// TestGate lets the gates' elements run in the kernel, in every family.
func TestGate(t *testing.T) {
	netnstest.New(t).Do(func() error {
		for _, f := range []Family{Inet, Bridge, ARP, Netdev} {
			var s Script
			s.Line("table %s moonlatch_7 {", f)
			s.Line("chain input { type filter hook %s priority 0; policy accept; }", hook(f))
			s.Line("}")
			s.Line("%s", DeclareGate(f, "moonlatch_7", Yield))
			s.Line("%s", YieldRule(f, "moonlatch_7", "input"))
			s.Line("%s", FillGate(f, "moonlatch_7", Yield, 1500*time.Millisecond))
			bare := &Ruleset{Chains: []*Chain{{Name: "input", Family: f, Hook: strings.Fields(hook(f))[0], Type: "filter", Priority: "0", Policy: "accept", Device: device(f)}}}
			s.Append(bare.Render(Options{Generation: 8, Trial: true, Alive: time.Minute}))
			s.Line("%s", FillGate(f, "moonlatch_8", Alive, time.Minute))
			nft(t, s.String(), "-f", "-")
			if list := nft(t, "", "list", "table", string(f), "moonlatch_8"); strings.Count(list, AliveComment) != 1 || !strings.Contains(list, "\t\ttimeout 1m\n") || !strings.Contains(list, " expires ") {
				t.Errorf("%s: not alive:\n%s", f, list)
			}
			if list := nft(t, "", "list", "table", string(f), "moonlatch_7"); !strings.Contains(list, "timeout 1s500ms") || !strings.Contains(list, YieldComment) {
				t.Errorf("%s: no yield in\n%s", f, list)
			}
		}
		return nil
	})
}

func TestDigest(t *testing.T) {
	a, b := everything(t), everything(t)
	if a.Digest() != b.Digest() {
		t.Error("the same ruleset has two digests")
	}
	for _, o := range []Options{{Generation: 8}, {Generation: 8, Trial: true}, {Generation: 77, Trial: true, Alive: time.Minute}, {Alive: time.Hour}} {
		if got := a.DigestOf(a.Render(o)); got != a.Digest() {
			t.Errorf("%+v: the digest says something of how the ruleset was rendered", o)
		}
	}
	b.Chains[1].Rules[0].Items = []Item{Verdict{Kind: "drop"}}
	if a.Digest() == b.Digest() {
		t.Error("another verdict left the digest as it was")
	}
	of := func(f Family) string { return (&Ruleset{Chains: []*Chain{{Name: "c", Family: f}}}).Digest() }
	if of(Bridge) == of(ARP) {
		t.Error("another family left the digest as it was")
	}
}

// golden compares got with a file in testdata; UPDATE=1 writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
