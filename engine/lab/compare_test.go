package lab_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"moonlatch/engine/lab"
	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/packet"
)

// asked are matches that the kernel decides, and of which Compared must say the same.
var asked = []string{
	"ip saddr 192.0.2.5", "ip saddr != 192.0.2.5", "ip saddr 192.0.2.0/24", "ip saddr { 10.0.0.0/8, 192.0.2.5-192.0.2.6 }",
	"ip saddr != { 10.0.0.0/8, 192.0.2.5 }", "ip6 saddr 2001:db8::/32", "ip6 saddr != 2001:db8::/32", "ip6 saddr & ffff:ffff:: == 2001:db8::",
	"ip saddr @some", "ip saddr . tcp dport @pairs", "ip saddr . tcp dport { 192.0.2.5 . 22 }", "ip daddr 198.18.0.1", "ip6 daddr != ::1",
	"tcp dport 22", "tcp dport != 22", "tcp dport { 22, 80-90 }", "tcp dport != { 22, 80-90 }", "tcp dport 80-90", "tcp dport > 80", "tcp dport <= 80", "tcp sport 40000",
	"udp dport 53", "th dport 53", "meta l4proto { tcp, udp } th dport 53", "meta l4proto != tcp", "meta l4proto { icmp, ipv6-icmp }", "ip protocol icmp",
	"icmp type echo-request", "icmp type { 8-9 }", "icmpv6 type { echo-request, echo-reply }", "tcp flags syn", "tcp flags & (fin|syn|rst|ack) == syn",
	"tcp flags == syn", "tcp flags != syn", "tcp flags ! syn", "tcp flags { syn, syn|ack }", "iifname \"eth0\"", "iifname \"e*\"", "iifname != \"eth1\"", "iifname { \"lo\", \"eth*\" }", "iif \"lo\"",
	"meta mark 0x10", "meta mark 0", "meta mark != 0", "meta mark & 1 == 1", "meta nfproto ipv4", "meta nfproto != ipv4", "ct state new", "ct state { new, invalid }",
	"ct state established,related", "ct state != new", "ct state vmap { new : continue, established : continue }", "ip ttl < 64", "ip ttl 64", "ip6 hoplimit >= 64",
	"ip saddr 192.0.2.5 tcp dport 22 ct state new", "ip saddr 192.0.2.5 limit rate 1/day", "fib saddr type local", "meta length > 1000", "ether saddr 02:00:00:00:00:01",
	"tcp dport 22 tcp flags syn meta mark set 0x10",
}

// TestCompared asks the kernel: a rule that matched may not be said to differ, and where everything could be
// told of one that did not match, something must differ.
func TestCompared(t *testing.T) {
	netnstest.Kernel(t)
	var text strings.Builder
	text.WriteString("table inet moonlatch_1 {\n\tset some { type ipv4_addr; elements = { 192.0.2.5 }; }\n\tset pairs { type ipv4_addr . inet_service; elements = { 192.0.2.5 . 22 }; }\n")
	text.WriteString("\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n")
	for i, match := range asked {
		fmt.Fprintf(&text, "\t\t%s counter comment \"%d\"\n", match, i)
	}
	text.WriteString("\t}\n}\n")
	tcp := func(src string, port uint16, flags packet.Flags) lab.Packet {
		return lab.Packet{Src: netip.MustParseAddr(src), Proto: unix.IPPROTO_TCP, Dport: port, Flags: flags}
	}
	packets := []lab.Packet{
		tcp("192.0.2.5", 22, packet.SYN), tcp("192.0.2.6", 85, packet.SYN|packet.FIN), tcp("2001:db8::5", 443, packet.SYN), tcp("2001:db9::5", 22, packet.ACK),
		{Src: netip.MustParseAddr("192.0.2.5"), Proto: unix.IPPROTO_UDP, Dport: 53, TTL: 3},
		{Src: netip.MustParseAddr("2001:db8::5"), Proto: unix.IPPROTO_UDP, Dport: 22},
		{Src: netip.MustParseAddr("192.0.2.5"), Proto: unix.IPPROTO_ICMP, ICMPType: 8},
		{Src: netip.MustParseAddr("2001:db8::5"), Proto: unix.IPPROTO_ICMPV6, ICMPType: 128},
		{Src: netip.MustParseAddr("192.0.2.5"), Proto: 47},
	}
	results := map[string]int{}
	err := lab.Run(t.Context(), func(l *lab.Lab) error {
		if err := l.Load(t.Context(), text.String(), nil, nil, "moonlatch_1"); err != nil {
			return err
		}
		for _, p := range packets {
			r, err := l.Send(t.Context(), p)
			if err != nil {
				return err
			}
			for _, v := range r.Visits {
				differs, unknown := false, false
				for _, c := range v.Compared {
					results[c.Result]++
					differs = differs || c.Result == lab.Differs
					unknown = unknown || c.Result == lab.Unknown
				}
				if v.Matched && differs {
					t.Errorf("%s: %q matched, and is said to differ: %+v", r.Packet, v.Rule.Text, v.Compared)
				}
				if !v.Matched && !differs && !unknown && v.Rule.Name != "" && !strings.Contains(v.Rule.Text, "limit") && !strings.HasPrefix(v.Rule.Text, "fib") &&
					!strings.HasPrefix(v.Rule.Text, "meta length") && !strings.HasPrefix(v.Rule.Text, "ether") {
					t.Errorf("%s: %q did not match, and nothing says why: %+v", r.Packet, v.Rule.Text, v.Compared)
				}
				if !v.Matched && differs && len(lab.Reasons(v.Compared)) != 1 {
					t.Errorf("%s: %q: reasons %+v", r.Packet, v.Rule.Text, lab.Reasons(v.Compared))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if results[lab.Equal] < 100 || results[lab.Differs] < 100 || results[lab.Unknown] < 20 {
		t.Errorf("of the comparisons so many were told: %v", results)
	}
}
