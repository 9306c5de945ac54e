package main

import (
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
)

// policy is the text of the policy.
func (i initAnswers) policy() string {
	var b strings.Builder
	fmt.Fprintf(&b, `-- The firewall of this host, written by "moonlatch init". It is yours to change.
--
--   moonlatch check FILE      tries it where it can do no harm
--   moonlatch apply FILE      puts it in force, on trial
--   moonlatch confirm         keeps it: from a NEW connection, which shows that you get in
--
%s
local fw = require "moonlatch"
local accept, drop = fw.accept, fw.drop

-- If nobody confirms it within a minute, the kernel brings the old rules back.
fw.watchdog { confirm = "60s", fallback = "previous" }

`, interfaces())
	if len(i.admins) > 0 {
		b.WriteString("-- Never banned, whatever they seem to do.\nlocal admins = fw.set \"admins\" {")
		for n, a := range i.admins {
			b.WriteString(map[bool]string{true: " ", false: ", "}[n == 0] + `"` + a.String() + `"`)
		}
		b.WriteString(" }\nfw.protect { admins }\n\n")
	}
	b.WriteString(`-- Attempts to connect to closed ports: the last rule logs them here.
local closed = fw.stream "closed"

local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "loopback",   iif = "lo",                        accept }
input { "replies",    ct = { "established", "related" }, accept }
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-advert", "mld-listener-query" }, accept }   -- no IPv6 without
input { "dhcpv6",     src = "fe80::/10", udp = 546, accept }
input { "ping",       icmp = "echo-request", limit = "20/s burst 40", accept }

-- ssh: for the admins always, for others so often a minute.
`)
	if len(i.admins) > 0 {
		fmt.Fprintf(&b, "input { \"ssh admins\", tcp = %d, src = admins, accept }\n", i.sshPort)
	}
	fmt.Fprintf(&b, "input { \"ssh\",        tcp = %d, limit = \"10/min burst 20 per src\", accept }\n\n", i.sshPort)
	if len(i.public) > 0 {
		b.WriteString("-- What this host offers to everybody.\n")
	}
	for _, l := range i.public {
		fmt.Fprintf(&b, "input { \"%s %d\", %s = %d, accept }", l.proto, l.port, l.proto, l.port)
		if l.process != "" {
			b.WriteString("   -- " + l.process)
		}
		b.WriteString("\n")
	}
	b.WriteString("input { \"closed\", flags = \"syn\", closed, drop }\n\n")
	b.WriteString("-- Who tries more than ten closed ports within a minute is looking for a way in.\n")
	ban := `ban = { "1h", "24h", "7d" }`
	if len(i.admins) == 0 {
		b.WriteString("-- It is only told so far: name your own address in fw.protect { … }, then take shadow out.\n")
		ban += ", shadow = true"
	}
	fmt.Fprintf(&b, "fw.detect \"portscan\" {\n  on = closed, count = \"distinct dport\", over = 10, within = \"60s\", %s,\n}\n", ban)
	return b.String()
}

// interfaces is a comment that says which interfaces there are.
func interfaces() string {
	outside := map[int]bool{}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err == nil {
		for _, r := range routes {
			if r.Gw != nil && (r.Dst == nil || isDefault(r.Dst)) {
				outside[r.LinkIndex] = true
			}
		}
	}
	var b strings.Builder
	b.WriteString("-- Interfaces found:\n")
	all, err := net.Interfaces()
	if err != nil {
		return "-- The interfaces could not be listed.\n"
	}
	for _, i := range all {
		what := ""
		if outside[i.Index] {
			what = "   the way to the internet"
		}
		fmt.Fprintf(&b, "--   %s%s\n", strings.Map(printable, i.Name), what)
	}
	return b.String()
}

func isDefault(n *net.IPNet) bool {
	ones, _ := n.Mask.Size()
	return ones == 0
}
