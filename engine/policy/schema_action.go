package policy

import "moonlatch/engine/ruleset"

// actionMembers are the functions that return what a rule does to its packets.
func actionMembers() []member {
	maps := map[string]string{"dnat": ruleset.MapDNAT, "snat": ruleset.MapSNAT, "mark": ruleset.MapMark, "ctmark": ruleset.MapConnMark}
	do := func(name, takes, doc, form, chain string, most int, read func([]value) (ruleset.Action, error)) member {
		if maps[name] != "" {
			takes += "; or a map"
		}
		return member{
			Entry:   Entry{Name: name, Takes: takes, Doc: "an item: " + doc, Example: chain + form + ` }`},
			declare: action("fw."+name, most, form, maps[name], read),
		}
	}
	return []member{
		do("mark", `number, "0x10/0xf0" for some of its bits, or "ct" for the connection's`, "sets the packet's mark", `fw.mark(1)`, `input { "mark", tcp = 80, `, 1, markAction("ct", ruleset.RestoreMark(), ruleset.SetMark)),
		do("ctmark", `number, "0x10/0xf0" for some of its bits, or "mark" for the packet's`, "sets the mark of the packet's connection", `fw.ctmark(1)`, `input { "mark", tcp = 80, `, 1, markAction("mark", ruleset.SaveMark(), ruleset.SetConnMark)),
		do("dscp", `class such as "cs1", or number`, "sets the differentiated services code point", `fw.dscp("cs1")`, `input { "bulk", tcp = 873, `, 1, dscpAction),
		do("notrack", "", "exempts the packet from connection tracking, in a chain of hook prerouting or output and priority raw", `fw.notrack()`, `raw { "dns", udp = 53, `, 0, notrackAction),
		do("mss", `"rt mtu" or bytes`, "sets the maximum segment size that TCP connections announce", `fw.mss("rt mtu")`, `forward { "mss", flags = "syn/syn,rst", `, 1, mssAction),
		do("queue", `number or range of queues; then "bypass,fanout"`, "hands the packet to a program; it ends the rule", `fw.queue("1-3", "bypass")`, `input { "ids", tcp = 80, `, 2, queueAction),
		do("dup", "name of an interface", "sends a copy out through it, in netdev chains", `fw.dup("lo")`, `ingress { "tap", `, 1, dupAction),
		do("tproxy", "address if need be, then port", "hands the packet to a local socket as it is, in prerouting; accept it behind that", `fw.tproxy("127.0.0.1", 50080)`, `early { "proxy", tcp = 80, `, 2, tproxyAction),
		do("snat", `address, range, or one of each family; then ports and flags "random,fully-random,persistent" if need be`, "gives packets another source; it ends the rule", `fw.snat("192.0.2.1")`, `srcnat { "out", oif = "eth0", `, 3, translated(ruleset.SNAT)),
		do("dnat", "as snat", "gives packets another destination; it ends the rule", `fw.dnat({ "192.0.2.80", "2001:db8::80" }, 8080)`, `dstnat { "web", tcp = 80, `, 3, translated(ruleset.DNAT)),
		do("masquerade", "ports and flags if need be", "gives packets the address of the interface that they leave through; it ends the rule", `fw.masquerade()`, `srcnat { "out", oif = "eth0", `, 2, local(ruleset.Masquerade)),
		do("redirect", "port or range, and flags, if need be", "sends packets to this host itself; it ends the rule", `fw.redirect(8080)`, `dstnat { "web", tcp = 80, `, 2, local(ruleset.Redirect)),
		{Entry: Entry{Name: "vmap", Takes: "a table of chains and verdicts by destination port, or by what its field by names", Doc: "an item: goes by the packet to one of several chains or verdicts; other packets go on with the next rule", Example: `input { "by port", tcp = true, fw.vmap { [22] = ssh_in, ["80-89"] = accept } }`}, declare: vmap},
		{Entry: Entry{Name: "add", Takes: `dynamic set, "src" or "dst", time if need be`, Doc: "an item: puts the packet's address into the set, or prolongs its stay", Example: `local seen = fw.set "seen" { dynamic = true }; input { "knock", tcp = 7000, fw.add(seen, "src", "30s"), drop }`}, declare: add},
		{Entry: Entry{Name: "flow", Takes: "flowtable", Doc: "an item: lets the connection bypass the rules from now on, in forward chains", Example: `local fast = fw.flowtable "fast" { devices = { "lo" } }; forward { "fast", ct = "established", fw.flow(fast), accept }`}, declare: flow},
		{Entry: Entry{Name: "synproxy", Takes: "a table of options", Doc: "an item: answers new connections itself and lets those on that are completed", Example: `input { "web", tcp = 80, ct = { "invalid", "untracked" }, fw.synproxy { mss = 1460, wscale = 7 } }`}, declare: synproxy},
	}
}
