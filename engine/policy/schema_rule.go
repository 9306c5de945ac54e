package policy

import "moonlatch/engine/ruleset"

// ruleFields are the fields of a rule, in the order in which the kernel
// evaluates them.
func ruleFields() []ruleField {
	list := []ruleField{
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
		{Entry: Entry{Name: "ct", Takes: "state or list of states: new, established, related, invalid, untracked", Doc: "the state of the packet's connection", Example: `input { "replies", ct = { "established", "related" }, accept }`}, negate: true, read: readConnState},
		{Entry: Entry{Name: "flags", Takes: `"syn" for a new connection attempt; flags set/flags looked at; "none", "all"`, Doc: "TCP flags", Example: `input { "xmas", flags = "fin,psh,urg/all", drop }`}, negate: true, filter: true, read: func(_ *ruleReader, v value, not bool) (ruleset.Field, error) { return tcpFlags(v.LValue, not) }},
		{Entry: Entry{Name: "limit", Takes: `"10/s", "200/s burst 50 per src", "per src/24"`, Doc: "matches while packets come at no more than the rate", Example: `input { "web", tcp = 443, limit = "200/s burst 50 per src", accept }`}, read: readLimit(false)},
		{Entry: Entry{Name: "over", Takes: "as limit", Doc: "matches what comes faster than the rate", Example: `input { "flood", tcp = 443, over = "500/s per src/24", drop }`}, read: readLimit(true)},
	}
	return append(list, laterFields()...)
}

// transport is the field of one transport protocol.
func transport(proto, example string) ruleField {
	return ruleField{
		Entry:  Entry{Name: proto, Takes: `port, range "6000-6100", service name, set, or a list of these; true for any port`, Doc: "the destination port, of packets of this protocol", Example: example},
		negate: true, filter: true,
		read: readTransport(proto),
	}
}

// laterFields are fields that are not available yet.
func laterFields() []ruleField {
	later := func(name, nft string) ruleField {
		return ruleField{Entry: Entry{Name: name, Instead: nft}, negate: true}
	}
	return []ruleField{
		later("mark", "meta mark 1"),
		later("uid", "meta skuid 1000"),
		later("gid", "meta skgid 1000"),
		later("dscp", "ip dscp cs1"),
		later("ttl", "ip ttl < 64"),
		later("length", "meta length > 1000"),
		later("mac", "ether saddr 00:00:5e:00:53:01"),
		later("pkttype", "meta pkttype broadcast"),
		later("fib", "fib saddr . iif oif missing"),
		later("cgroup", "meta cgroup 1"),
		later("time", `meta hour "09:00"-"17:00"`),
		later("connlimit", "ct count over 20"),
		later("quota", "quota over 10 mbytes"),
	}
}

// connFields are what nft knows of a connection besides its state.
func connFields() []Entry {
	return []Entry{
		{Name: "mark", Instead: "ct mark 1"},
		{Name: "direction", Instead: "ct direction original"},
		{Name: "zone", Instead: "ct zone 1"},
		{Name: "status", Instead: "ct status dnat"},
		{Name: "bytes", Instead: "ct bytes > 1000000"},
		{Name: "helper", Instead: `ct helper "ftp"`},
	}
}
