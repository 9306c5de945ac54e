package policy

import "moonlatch/engine/ruleset"

// ruleFields are the fields of a rule, in the order in which the kernel
// evaluates them.
func ruleFields() []ruleField {
	return []ruleField{
		{Entry: Entry{Name: "iif", Takes: `name or list of names; "wg*" for all that start so`, Doc: "the interface that the packet came in through", Example: `input { "vpn", iif = { "lo", "wg*" }, accept }`}, negate: true, filter: true, read: readInterface(ruleset.Src)},
		{Entry: Entry{Name: "oif", Takes: "as iif", Doc: "the interface that the packet goes out through", Example: `output { "vpn", oif = "wg*", accept }`}, negate: true, filter: true, read: readInterface(ruleset.Dst)},
		{Entry: Entry{Name: "src", Takes: "address, prefix, range, set, or a list of these, of either family", Doc: "the packet's source", Example: `input { "ssh", tcp = 22, src = { admins, "198.51.100.7", "2001:db8::/48" }, accept }`}, negate: true, filter: true, read: readAddress(ruleset.Src)},
		{Entry: Entry{Name: "dst", Takes: "as src", Doc: "the packet's destination", Example: `input { "service", dst = "192.0.2.1-192.0.2.9", tcp = 443, accept }`}, negate: true, filter: true, read: readAddress(ruleset.Dst)},
		transport("tcp", `input { "web", tcp = { 80, 443, "8000-8100" }, accept }`),
		transport("udp", `input { "dns", udp = "domain", accept }`),
		transport("sctp", `input { "sctp", sctp = 2905, accept }`),
		transport("dccp", `input { "dccp", dccp = true, accept }`),
		{Entry: Entry{Name: "proto", Takes: "name, number, or a list of these", Doc: "the protocol behind the IP header", Example: `input { "tunnel", proto = { "gre", "esp", 4 }, accept }`}, negate: true, filter: true, read: readProtocol},
		{Entry: Entry{Name: "dport", Takes: "as tcp", Doc: "the destination port where proto names several protocols", Example: `input { "dns", proto = { "tcp", "udp" }, dport = 53, accept }`}, negate: true, filter: true, read: readPorts(ruleset.Dst)},
		{Entry: Entry{Name: "sport", Takes: "as tcp", Doc: "the source port of the protocol that another field names", Example: `input { "ntp", udp = true, sport = 123, accept }`}, negate: true, filter: true, read: readPorts(ruleset.Src)},
		{Entry: Entry{Name: "icmp", Takes: "type name or list of these; true for any", Doc: "the type of an ICMP or ICMPv6 message, of both where both have it", Example: `input { "ping", icmp = "echo-request", limit = "10/s", accept }`}, negate: true, filter: true, read: readICMP},
		{Entry: Entry{Name: "ct", Takes: "state or list of states: new, established, related, invalid, untracked; or a table, see below", Doc: "the state of the packet's connection", Example: `input { "replies", ct = { "established", "related" }, accept }`}, negate: true, read: readConn},
		{Entry: Entry{Name: "flags", Takes: `"syn" for a new connection attempt; flags set/flags looked at; "none", "all"`, Doc: "TCP flags", Example: `input { "xmas", flags = "fin,psh,urg/all", drop }`}, negate: true, filter: true, read: func(_ *ruleReader, v value, not bool) (ruleset.Field, error) { return tcpFlags(v.LValue, not) }},
		{Entry: Entry{Name: "mark", Takes: `number, range "1-9", comparison "< 9", or a list of these; "0x10/0xf0" for some of its bits`, Doc: "the packet's mark", Example: `input { "marked", mark = 1, accept }`}, negate: true, filter: true, read: readMark(ruleset.Mark)},
		{Entry: Entry{Name: "uid", Takes: "user's name or number, range, or list", Doc: "who owns the socket that sends the packet, in output chains", Example: `output { "web server", uid = "root", accept }`}, negate: true, filter: true, read: readNumber(ruleset.UID, userID)},
		{Entry: Entry{Name: "gid", Takes: "group's name or number, range, or list", Doc: "likewise, its group", Example: `output { "group", gid = "root", accept }`}, negate: true, filter: true, read: readNumber(ruleset.GID, groupID)},
		{Entry: Entry{Name: "cgroup", Takes: "path below /sys/fs/cgroup, or a class id", Doc: "the control group of the packet's socket, which must exist when the ruleset is loaded, at boot too", Example: `output { "class", cgroup = 1048577, accept }`}, negate: true, read: readControlGroup},
		{Entry: Entry{Name: "dscp", Takes: `class such as "ef", "cs1", "af21"; number; list`, Doc: "the differentiated services code point", Example: `input { "voice", dscp = "ef", accept }`}, negate: true, read: readNumber(ruleset.DSCP, codePoint)},
		{Entry: Entry{Name: "ttl", Takes: `number, range "1-9", comparison "< 9", or a list of these`, Doc: "the packet's time to live, or hop limit", Example: `input { "far", ttl = "< 5", drop }`}, negate: true, filter: true, read: readNumber(ruleset.TTL, nil)},
		{Entry: Entry{Name: "length", Takes: `number, range "1-9", comparison "< 9", or a list of these`, Doc: "the packet's length in bytes", Example: `input { "large ping", icmp = "echo-request", length = "> 1000", drop }`}, negate: true, filter: true, read: readNumber(ruleset.Length, nil)},
		{Entry: Entry{Name: "mac", Takes: "Ethernet address or list", Doc: "the packet's Ethernet source", Example: `input { "printer", mac = "00:00:5e:00:53:01", accept }`}, negate: true, filter: true, read: readMAC},
		{Entry: Entry{Name: "pkttype", Takes: `"unicast", "broadcast", "multicast", "other", or a list`, Doc: "to whom the packet was sent at its link", Example: `input { "noise", pkttype = { "broadcast", "multicast" }, drop }`}, negate: true, read: readWords("meta pkttype", "unicast", "broadcast", "multicast", "other")},
		{Entry: Entry{Name: "fib", Takes: `nft's words: "saddr . iif oif missing", "daddr type local,broadcast"`, Doc: "what the routing tables say", Example: `early { "spoofed", fib = "saddr . iif oif missing", drop }`}, negate: true, read: readFIB},
		{Entry: Entry{Name: "time", Takes: `"09:00-17:00", or { hour =, day =, date = }`, Doc: "when the packet comes, in the time zone of this host as it is when the ruleset is loaded", Example: `input { "office", tcp = 22, time = { hour = "09:00-17:00", day = "Mon-Fri" }, accept }`}, negate: true, read: readTime},
		{Entry: Entry{Name: "set", Takes: "a set of several parts", Doc: "the parts of the packet that the set is of, side by side", Example: `local pairs = fw.set "pairs" { of = { "src", "dport" }, { "192.0.2.1", 22 } }; input { "pairs", tcp = true, set = pairs, accept }`}, negate: true, read: readTupleSet},
		{Entry: Entry{Name: "limit", Takes: `"10/s", "200/s burst 50 per src", "per src/24"`, Doc: "matches while packets come at no more than the rate", Example: `input { "web", tcp = 443, limit = "200/s burst 50 per src", accept }`}, read: readLimit(false)},
		{Entry: Entry{Name: "over", Takes: "as limit", Doc: "matches what comes faster than the rate", Example: `input { "flood", tcp = 443, over = "500/s per src/24", drop }`}, read: readLimit(true)},
		{Entry: Entry{Name: "connlimit", Takes: `"20 per src", "over 20 per src/24", "500"`, Doc: "matches while there are no more tracked connections than that, or, with over, when there are more", Example: `input { "ssh", tcp = 22, connlimit = "20 per src", accept }`}, read: readConnections},
		{Entry: Entry{Name: "quota", Takes: `"10 mbytes", "over 2 gbytes"`, Doc: "matches until so much has come, or, with over, from then on; anew with each apply", Example: `output { "plan", oif = "wwan0", quota = "over 2 gbytes", drop }`}, read: readQuota},
	}
}

// transport is the field of one transport protocol.
func transport(proto, example string) ruleField {
	return ruleField{
		Entry:  Entry{Name: proto, Takes: `port, range "6000-6100", service name, set, or a list of these; true for any port`, Doc: "the destination port, of packets of this protocol", Example: example},
		negate: true, filter: true,
		read: readTransport(proto),
	}
}

// connFields are the fields of ct = { … }.
func connFields() []ruleField {
	return []ruleField{
		{Entry: Entry{Name: "state", Takes: "state or list of states", Doc: "as ct itself takes them", Example: `input { "replies", ct = { state = "established", mark = 1 }, accept }`}, negate: true, read: readConnState},
		{Entry: Entry{Name: "status", Takes: "one or a list of expected, seen-reply, assured, confirmed, snat, dnat, dying", Doc: "what has become of the connection; any of them", Example: `forward { "forwarded ports", ct = { status = "dnat" }, accept }`}, negate: true, read: readConnStatus},
		{Entry: Entry{Name: "mark", Takes: "as the rule's mark", Doc: "the connection's mark", Example: `input { "marked", ct = { mark = "0x10/0xf0" }, accept }`}, negate: true, read: readMark(ruleset.ConnMark)},
		{Entry: Entry{Name: "direction", Takes: `"original" or "reply"`, Doc: "the packet's direction in the connection", Example: `input { "answers", ct = { direction = "reply" }, accept }`}, negate: true, read: readWords("ct direction", "original", "reply")},
		{Entry: Entry{Name: "zone", Takes: "number, range or list", Doc: "the connection tracking zone", Example: `input { "zone", ct = { zone = 1 }, accept }`}, negate: true, read: readNumber(ruleset.ConnZone, nil)},
		{Entry: Entry{Name: "bytes", Takes: `number, range or comparison: "> 1000000"`, Doc: "bytes of the connection so far, where the kernel counts them (net.netfilter.nf_conntrack_acct)", Example: `input { "bulk", ct = { bytes = "> 1000000" }, fw.dscp "cs1" }`}, negate: true, read: readNumber(ruleset.ConnBytes, nil)},
		{Entry: Entry{Name: "packets", Takes: "as bytes", Doc: "packets of the connection so far, likewise", Example: `input { "young", ct = { packets = "< 10" }, accept }`}, negate: true, read: readNumber(ruleset.ConnPackets, nil)},
		{Entry: Entry{Name: "helper", Takes: "name or list of names", Doc: "the helper that follows the connection", Example: `input { "ftp", ct = { helper = "ftp" }, accept }`}, negate: true, read: readConnHelper},
	}
}

// timeFields are the fields of time = { … }.
func timeFields() []ruleField {
	return []ruleField{
		{Entry: Entry{Name: "hour", Takes: `"09:00-17:00"`, Doc: "the time of day, the end excluded", Example: `input { "office", tcp = 22, time = { hour = "09:00-17:00" }, accept }`}, negate: true, read: readHours},
		{Entry: Entry{Name: "day", Takes: `day, range "Mon-Fri", or a list of these`, Doc: "the day of the week", Example: `input { "office", tcp = 22, time = { day = "Mon-Fri" }, accept }`}, negate: true, read: readDays},
		{Entry: Entry{Name: "date", Takes: `"2026-12-24 to 2027-01-06", with times of day if need be`, Doc: "between two dates, both included", Example: `input { "event", tcp = 8443, time = { date = "2026-12-24 18:00 to 2026-12-25 09:00" }, accept }`}, negate: true, read: readDates},
	}
}
