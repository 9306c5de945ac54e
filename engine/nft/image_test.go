package nft_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/nft"
)

// everything is a ruleset with one of each thing that nf_tables has.
const everything = `
table inet filter {
	comment "the first"
	counter hits { packets 7 bytes 700 }
	quota monthly { over 25 mbytes used 3 kbytes }
	limit slow { rate 10/second burst 5 packets }
	ct helper ftp-standard { type "ftp" protocol tcp; l3proto inet; }
	ct timeout fast { protocol tcp; l3proto ip; policy = { established : 60, close : 5 }; }
	ct expectation expect { protocol tcp; dport 9876; timeout 2m; size 12; l3proto ip; }
	synproxy proxy { mss 1460; wscale 7; timestamp sack-perm; }
	set hosts { type ipv4_addr; flags timeout; timeout 1h; size 100; comment "hosts"; elements = { 192.0.2.1 timeout 30m expires 20m comment "one", 192.0.2.2, 192.0.2.3 timeout 1d } }
	set nets { type ipv4_addr; flags interval,timeout; auto-merge; elements = { 10.0.0.0/8, 192.0.2.0/25 timeout 2h, 198.51.100.7-198.51.100.9 } }
	set nets6 { type ipv6_addr; flags interval; elements = { 2001:db8::/32, ffff::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff } }
	set pairs { type ipv4_addr . inet_service; flags interval,timeout; elements = { 192.0.2.0/24 . 80-90, 10.1.1.1 . 22 timeout 1h } }
	set counted { type inet_service; counter; elements = { 22 counter packets 5 bytes 500, 80 } }
	set dyn { type ipv4_addr; flags dynamic,timeout; timeout 10m; size 1024; elements = { 203.0.113.9 limit rate 3/minute timeout 5m expires 4m } }
	set names { type ifname; elements = { "eth0", "wlan0" } }
	set names2 { type ifname; flags interval; elements = { "ppp*" } }
	set marks { typeof meta mark; flags interval; elements = { 1-5, 0xff } }
	set every { type ipv4_addr; flags interval; elements = { 192.0.2.7, * } }
	map ports { type inet_service : ipv4_addr; flags timeout; elements = { 80 timeout 1h : 192.0.2.8, 443 : 192.0.2.9 } }
	map nat { type ipv4_addr : interval ipv4_addr; flags interval; elements = { 10.1.0.0/24 : 10.2.0.0/24 } }
	map verdicts { type inet_service : verdict; elements = { 22 : jump ssh, 25 : drop, 53 : goto dns } }
	map objects { type ipv4_addr : counter; elements = { 192.0.2.1 : "hits" } }
	map ranges { type ipv4_addr : inet_service; flags interval; elements = { 10.0.0.0-10.0.0.9 : 1, 10.0.0.10-10.0.0.19 : 2 } }
	chain input {
		type filter hook input priority filter; policy drop;
		ct state vmap { established : accept, related : accept, invalid : drop }
		iifname "lo" accept comment "loopback"
		ip saddr @hosts counter packets 3 bytes 300 drop
		ip saddr @nets quota name "monthly" drop
		ip saddr . tcp dport @pairs accept
		tcp dport @counted accept
		tcp dport vmap @verdicts
		ct helper set "ftp-standard"
		limit name "slow" log prefix "slow " level info flags all
		add @dyn { ip saddr limit rate 3/minute } accept
		tcp dport 23 jump { log prefix "telnet"; ip saddr 192.0.2.9 accept; drop; }
		tcp flags & (fin|syn) == fin|syn drop
		tcp dport { 1000-2000, 3000 } meta mark set 0x5 ct mark set meta mark
		counter name ip saddr map @objects
		meter flood { ip saddr timeout 1m limit rate over 5/second } drop
		reject with icmpx admin-prohibited
	}
	chain ssh { ct count over 20 reject with tcp reset; }
	chain dns { udp dport 53 limit rate over 400/minute burst 10 packets drop; quota until 10 mbytes accept; }
	chain output { type route hook output priority mangle; meta l4proto 17 meta mark set numgen inc mod 3 offset 7; }
}
table ip nat {
	chain prerouting { type nat hook prerouting priority dstnat; tcp dport 8080 dnat to 192.0.2.1:80; dnat to numgen random mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }; }
	chain postrouting { type nat hook postrouting priority srcnat; oifname "eth0" masquerade random,persistent; snat to jhash ip saddr mod 2 seed 0xabc map { 0 : 10.0.0.1, 1 : 10.0.0.2 }; }
}
table ip6 raw {
	flags dormant
	chain prerouting { type filter hook prerouting priority raw; fib saddr . iif oif missing drop; tcp dport 22 notrack; exthdr frag exists drop; }
}
table arp filter { chain input { type filter hook input priority 0; policy accept; arp operation request arp saddr ip 192.0.2.1 drop; }; }
table bridge filter { chain forward { type filter hook forward priority 0; ether type arp accept; vlan id 5 drop; ip saddr 192.0.2.1 counter; }; }
table netdev edge {
	set bad { type ipv4_addr; flags timeout; elements = { 192.0.2.66 timeout 1h } }
	chain in { type filter hook ingress device "left" priority -500; policy accept; ip saddr @bad drop; ip daddr 192.0.2.5 jump { counter; drop; }; tcp dport { 7, 9 } drop; }
	chain both { type filter hook ingress devices = { left, right } priority 0; counter; }
	chain out { type filter hook egress device "left" priority 0; counter; }
}
table inet ing { chain in { type filter hook ingress device "right" priority 0; counter; }; }
`

// elsewhere runs fn with a client in a namespace of its own, which has the interfaces that everything names.
func elsewhere(t testing.TB, fn func(c *nft.Client)) {
	t.Helper()
	n := netnstest.New(t)
	must(t, n.Do(func() error {
		c, err := nft.Open(nft.Config{})
		if err != nil {
			return err
		}
		defer c.Close()
		for _, conf := range []string{"all", "default"} { // no packet shall be counted by itself
			must(t, n.Sysctl("net/ipv6/conf/"+conf+"/disable_ipv6", "1"))
		}
		must(t, netns.Veth(n, "left", n, "right"))
		fn(c)
		return nil
	}))
}

func TestReplaceListsIdentically(t *testing.T) {
	elsewhere(t, func(c *nft.Client) {
		command(t, everything, "-f", "-")
		before := command(t, "", "list", "ruleset")
		im, err := c.Image()
		must(t, err)
		command(t, "table inet new { chain c { type filter hook input priority 0; policy drop; }; }", "-f", "-")
		command(t, "", "delete table inet filter")
		must(t, c.Replace(im, 0))
		after := command(t, "", "list", "ruleset")
		if before, after := steadyText(before), steadyText(after); before != after {
			t.Error(cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")))
		}
	})
}

// steadyText is a listing without how long elements have left.
func steadyText(s string) string {
	return regexp.MustCompile(` expires [0-9a-z]+`).ReplaceAllString(s, " expires")
}

func TestImageTakesTheRulesOfIptables(t *testing.T) {
	elsewhere(t, func(c *nft.Client) {
		shell(t, `
			iptables-nft -A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --set --name ssh
			iptables-nft -A INPUT -p tcp --syn -m limit --limit 5/s -m comment --comment "a b" -j ACCEPT
			iptables-nft -A INPUT ! -p udp -m string --string bad --algo bm -j DROP
			iptables-nft -A INPUT -p icmp --icmp-type echo-request -m hashlimit --hashlimit-name h --hashlimit-above 3/s --hashlimit-mode srcip -j DROP
			iptables-nft -t nat -A POSTROUTING -o eth0 -j MASQUERADE
			iptables-nft -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 192.0.2.1:8080
			iptables-nft -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
			iptables-nft -N chain; iptables-nft -A FORWARD -g chain; iptables-nft -P FORWARD DROP
			ip6tables-nft -A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j ACCEPT
			ip6tables-nft -A INPUT -p tcp -j REJECT --reject-with tcp-reset
			ipset create bad hash:ip; ipset create worse hash:net
			iptables-nft -A INPUT -m set --match-set worse src -j DROP
			iptables-nft -A INPUT -j SET --add-set bad src
			ebtables-nft -A FORWARD -p ip --ip-proto tcp --ip-dport 22 -j DROP
			arptables-nft -A INPUT -s 192.0.2.1 -j DROP`)
		list := func() string {
			return shell(t, `iptables-nft-save; ip6tables-nft-save; arptables-nft-save; ebtables-nft-save; nft list ruleset`)
		}
		before := withoutDates(list())
		im, err := c.Image()
		must(t, err)
		must(t, c.Replace(&nft.Image{}, 0))
		must(t, c.Replace(im, 0))
		if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(withoutDates(list()), "\n")); diff != "" {
			t.Error(diff)
		}
	})
}

// shell runs a script and returns what it prints.
func shell(t testing.TB, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", "PATH=$PATH:/usr/sbin:/sbin\n"+script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// withoutDates takes out the lines that say when a listing was made.
func withoutDates(s string) string {
	return regexp.MustCompile(`(?m)^# (Generated|Completed).*\n`).ReplaceAllString(s, "")
}

// TestImageFile writes everything to bytes and reads it back.
func TestImageFile(t *testing.T) {
	elsewhere(t, func(c *nft.Client) {
		command(t, everything, "-f", "-")
		before := steadyText(command(t, "", "list", "ruleset"))
		im, err := c.Image()
		must(t, err)
		b, err := im.MarshalBinary()
		must(t, err)
		read, err := nft.ParseImage(b)
		must(t, err)
		must(t, im.Diff(read))
		must(t, c.Replace(read, 0))
		if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(steadyText(command(t, "", "list", "ruleset")), "\n")); diff != "" {
			t.Error(diff)
		}
		for n := 1; n < len(b); n += 97 {
			if short, err := nft.ParseImage(b[:n]); err == nil && im.Diff(short) == nil {
				t.Fatalf("%d of %d bytes read as the whole image", n, len(b))
			}
		}
	})
}

// TestImageDiff changes one thing at a time.
func TestImageDiff(t *testing.T) {
	elsewhere(t, func(c *nft.Client) {
		command(t, everything, "-f", "-")
		im, err := c.Image()
		must(t, err)
		for change, want := range map[string]string{
			"": "",
			"add element inet filter hosts { 192.0.2.77 }":                                                 "should not be there",
			"delete element inet filter hosts { 192.0.2.2 }":                                               "of set inet filter hosts is missing",
			"delete element inet filter verdicts { 25 }; add element inet filter verdicts { 25 : accept }": "of set inet filter verdicts is not the same",
			"flush chain inet filter ssh":                                                                  "rule 1 of chain inet filter ssh is missing",
			"add rule inet filter ssh drop":                                                                "rule 2 of chain inet filter ssh should not be there",
			"add chain inet filter input { policy accept; }":                                               "chain inet filter input is not the same",
			"add table ip6 raw":                                                                            "table ip6 raw is not the same", // no longer dormant
			"add table ip more":                                                                            "table ip more should not be there",
			"delete table arp filter":                                                                      "arp filter",
			"add counter inet filter more":                                                                 "object (type 1) inet filter more should not be there",
			"add set inet filter more { type ipv4_addr; }":                                                 "set inet filter more should not be there",
			"reset counters":                                                                               "",
			"reset quotas":                                                                                 "",
		} {
			must(t, c.Replace(im, 0))
			command(t, change, "-f", "-")
			now, err := c.Image()
			must(t, err)
			err = im.Diff(now)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("after %q: got %v, want %q", change, err, want)
			}
		}
	})
}

// TestReplaceIsOneTransaction has the kernel refuse a rule, whose ipset is gone: nothing may have changed.
func TestReplaceIsOneTransaction(t *testing.T) {
	elsewhere(t, func(c *nft.Client) {
		shell(t, "nft add table inet first; ipset create bad hash:ip; iptables-nft -A INPUT -m set --match-set bad src -j DROP")
		im, err := c.Image()
		must(t, err)
		command(t, "flush ruleset; table inet now { set s { type ipv4_addr; }; }", "-f", "-")
		shell(t, "for i in $(seq 500); do ipset destroy bad 2>/dev/null && exit; sleep 0.01; done; exit 1")
		before := command(t, "", "list", "ruleset")
		wantErr(t, c.Replace(im, 0), nft.ErrNotExist, "add a rule to chain INPUT in table ip filter")
		if after := command(t, "", "list", "ruleset"); after != before {
			t.Errorf("refused, it left\n%s", after)
		}
	})
}

// TestWithoutDevices leaves out what is about an interface, and whatever only that needed.
func TestWithoutDevices(t *testing.T) {
	elsewhere(t, func(c *nft.Client) {
		command(t, everything, "-f", "-")
		im, err := c.Image()
		must(t, err)
		if diff := cmp.Diff([]string{"left", "right"}, im.Devices()); diff != "" {
			t.Error(diff)
		}
		must(t, c.Replace(im.WithoutDevices([]string{"left"}), 0))
		got := command(t, "", "list", "table", "netdev", "edge")
		for _, chain := range []string{"chain in {", "chain out {", "left"} {
			if strings.Contains(got, chain) {
				t.Errorf("%q is still there:\n%s", chain, got)
			}
		}
		for _, stays := range []string{"set bad {", "chain both {", "right"} {
			if !strings.Contains(got, stays) {
				t.Errorf("%q is gone:\n%s", stays, got)
			}
		}
	})
}

// TestImageWhileIntervalsExpire leaves nothing of an interval whose time is over.
func TestImageWhileIntervalsExpire(t *testing.T) {
	elsewhere(t, func(c *nft.Client) {
		command(t, `table inet t { set s { type ipv4_addr; flags interval,timeout; gc-interval 1h; elements = {
			192.0.2.0/26 timeout 1s, 192.0.2.64/26 timeout 1h, 192.0.2.128/26 timeout 1s, 198.51.100.0/24 } }; }`, "-f", "-")
		time.Sleep(1500 * time.Millisecond)
		im, err := c.Image()
		must(t, err)
		if got := im.Tables()[0].Elements["s"]; got != 2 {
			t.Errorf("got %d elements, want 2", got)
		}
		must(t, c.Replace(im, 0))
		got := command(t, "", "list", "ruleset")
		if strings.Contains(got, "192.0.2.0/26") || !strings.Contains(got, "192.0.2.64/26 timeout 1h") || !strings.Contains(got, "198.51.100.0/24 }") {
			t.Errorf("got\n%s", got)
		}
	})
}
