package foreign_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/foreign"
	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// rules fills a machine with what every tool can hold.
const rules = `
nft -f - <<'END'
table inet mine {
	set hosts { type ipv4_addr; flags timeout; elements = { 192.0.2.1 timeout 1h, 192.0.2.2 } }
	chain input { type filter hook input priority 0; policy drop; ct state established accept; ip saddr @hosts drop; tcp dport { 22, 80 } accept; }
}
table netdev edge { chain in { type filter hook ingress device "left" priority 0; ip saddr 192.0.2.66 drop; }; }
END
ipset create gap hash:ip
ipset create bad hash:ip timeout 3600 comment counters
ipset add bad 192.0.2.7 timeout 1000 comment "a reason: \\ timeout 5"
ipset add bad 192.0.2.8 timeout 0
ipset create nets hash:net family inet6
ipset add nets 2001:db8::/32
ipset create both list:set
ipset add both bad
ipset destroy gap
iptables-legacy -P INPUT DROP
iptables-legacy -N inner
iptables-legacy -A inner -m comment --comment 'a "quoted" one' -j RETURN
iptables-legacy -A INPUT -i lo -j ACCEPT
iptables-legacy -A INPUT -m set --match-set bad src -j DROP
iptables-legacy -A INPUT -p tcp --dport 22 -m state --state NEW -j inner
iptables-legacy -t nat -A POSTROUTING -o left -j MASQUERADE
iptables-legacy -t raw -A PREROUTING -p udp -j NOTRACK
ip6tables-legacy -A FORWARD -s 2001:db8::/32 -j REJECT
iptables-nft -A FORWARD -m set --match-set both src -j DROP
iptables-nft -A FORWARD -p tcp -m tcp --dport 25 -m recent --set -j REJECT --reject-with tcp-reset
ip6tables-nft -t mangle -A PREROUTING -m set --match-set nets src -j MARK --set-mark 5
`

// listing prints everything, without counters and what is left of timeouts.
func listing(t *testing.T) string {
	t.Helper()
	out := shell(t, `nft list ruleset; iptables-legacy-save; ip6tables-legacy-save; iptables-nft-save; ip6tables-nft-save; ipset save`)
	out = regexp.MustCompile(` expires \w+|packets \d+ bytes \d+|\[\d+:\d+\]|timeout [1-9]\d+|(?m:^#.*\n)`).ReplaceAllString(out, "")
	// A legacy table, once used, stays for good, if only with chains that accept everything.
	return regexp.MustCompile(`(?m)^\*\w+\n(:\w+ ACCEPT \n)+COMMIT\n`).ReplaceAllString(out, "")
}

// machine runs fn in a namespace of its own with Tools.
func machine(t *testing.T, script string, fn func(tools *foreign.Tools)) {
	t.Helper()
	n := netnstest.New(t)
	must(t, n.Do(func() error {
		must(t, netns.Veth(n, "left", n, "right"))
		shell(t, script)
		tools, err := foreign.Find(t.Context())
		if err != nil {
			return err
		}
		defer tools.Close()
		fn(tools)
		return nil
	}))
}

func TestRestoreListsIdentically(t *testing.T) {
	for name, damage := range map[string]string{
		"everything flushed": `nft flush ruleset; iptables-legacy -F; iptables-legacy -P INPUT ACCEPT; iptables-legacy -X
			iptables-legacy -t nat -F; iptables-legacy -t raw -F; ip6tables-legacy -F; empty`,
		"nothing":          ``,
		"more of all":      `nft add table inet more; iptables-legacy -t mangle -A INPUT -j DROP; ip6tables-legacy -t nat -A PREROUTING -j ACCEPT; ipset create x hash:ip; ipset add bad 1.2.3.4; iptables-legacy -A INPUT -m set --match-set x src; iptables-nft -A INPUT -m set --match-set x src`,
		"set of a kind":    `iptables-legacy -F; nft flush ruleset; empty; ipset create bad hash:net; iptables-nft -A INPUT -m set --match-set bad src -j DROP; iptables-legacy -A INPUT -m set --match-set bad src -j DROP`,
		"sets renumbered":  `nft flush ruleset; iptables-legacy -F; empty; ipset create other hash:ip; ipset create both list:set; ipset create third hash:ip`,
		"restored already": `ipset flush; iptables-restore < /dev/null`,
	} {
		t.Run(name, func(t *testing.T) {
			damage = "empty() { ipset flush; for i in $(seq 500); do ipset destroy 2>/dev/null && return; sleep 0.01; done; return 1; }\n" + damage
			machine(t, rules, func(tools *foreign.Tools) {
				before := listing(t)
				s, err := tools.Take(t.Context())
				must(t, err)
				path := filepath.Join(t.TempDir(), "snapshot")
				must(t, s.Save(path))
				s, err = foreign.Load(path)
				must(t, err)
				shell(t, damage)
				must(t, tools.Restore(t.Context(), s))
				if diff := cmp.Diff(lines(before), lines(listing(t))); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestOpenOpens(t *testing.T) {
	machine(t, rules, func(tools *foreign.Tools) {
		before, err := tools.Verify(t.Context())
		must(t, err)
		if before.Open || len(before.Filtering()) < 6 {
			t.Errorf("a machine full of rules is reported as %+v", before)
		}
		must(t, tools.Open(t.Context()))
		after, err := tools.Verify(t.Context())
		must(t, err)
		if !after.Open {
			t.Errorf("still filtering: %+v", after.Filtering())
		}
		if got := shell(t, "nft list ruleset"); got != "" {
			t.Errorf("left: %s", got)
		}
		if got := shell(t, "iptables-legacy-save; ip6tables-legacy-save"); strings.Contains(got, "-A") || strings.Contains(got, "DROP") {
			t.Errorf("left: %s", got)
		}
	})
}

// TestCoreTableFiltersWithABan tells an idle core table, which a daemon makes again after every reset, from one that bans.
func TestCoreTableFiltersWithABan(t *testing.T) {
	machine(t, `nft 'table inet moonlatch {
		set protected4 { type ipv4_addr; elements = { 192.0.2.1 }; }
		set banned4 { type ipv4_addr; flags timeout; }
		chain early { type filter hook prerouting priority raw; ip saddr @protected4 accept; ip saddr @banned4 drop; }
	}'`, func(tools *foreign.Tools) {
		r, err := tools.Verify(t.Context())
		must(t, err)
		if !r.Open {
			t.Errorf("without a ban, %+v", r.Filtering())
		}
		shell(t, "nft add element inet moonlatch banned4 '{ 192.0.2.2 timeout 1h }'")
		r, err = tools.Verify(t.Context())
		must(t, err)
		if r.Open {
			t.Error("with a ban, it is reported as open")
		}
	})
}

func lines(s string) []string { return strings.Split(s, "\n") }

// shell runs a script and returns what it prints. Only root may have the lock of iptables.
func shell(t testing.TB, script string) string {
	t.Helper()
	cmd := exec.Command("sh", "-ec", "PATH=$PATH:/usr/sbin:/sbin\n"+script)
	cmd.Env = append([]string{"XTABLES_LOCKFILE=/dev/null"}, os.Environ()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
