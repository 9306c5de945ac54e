package policy

import (
	"log/slog"
	"slices"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// moduleMembers are the names of require "moonlatch".
func moduleMembers() []member {
	list := []member{
		{Entry: Entry{Name: "chain", Takes: "name, then a table of options", Doc: "declares a chain; calling it with a table appends a rule", Example: `fw.chain "input" { hook = "input", policy = "drop" }`}, declare: (*loader).newChain},
		{Entry: Entry{Name: "set", Takes: "name, then a table of addresses, prefixes and ranges of both families, or of ports", Doc: "declares a named set", Example: `fw.set "admins" { "192.0.2.0/28", "2001:db8::/48" }`}, declare: (*loader).newSet},
		{Entry: Entry{Name: "map", Takes: `name, then a table of addresses, of { address, port } or of marks, by destination port or by what its field by names: src, dst, sport, dport, iif, oif, mark, proto, mac`, Doc: "declares a named map, for fw.dnat, fw.snat, fw.mark and fw.ctmark", Example: `local ports = fw.map "ports" { [80] = "192.0.2.80", [443] = "192.0.2.81" }; dstnat { "ports", tcp = true, fw.dnat(ports) }`}, declare: (*loader).newMap},
		{Entry: Entry{Name: "counter", Takes: "name", Doc: "declares a counter that several rules share: an item", Example: `local web = fw.counter "web"; input { "web", tcp = 80, web, accept }`}, declare: (*loader).newCounter},
		{Entry: Entry{Name: "quota", Takes: `name, then "10 mbytes" or "over 10 mbytes"`, Doc: "declares a quota that several rules share: a value of the field quota", Example: `local plan = fw.quota "plan" "over 2 gbytes"; output { "plan", quota = plan, drop }`}, declare: (*loader).newQuota},
		{Entry: Entry{Name: "helper", Takes: "name, then a table of options", Doc: "declares a connection tracking helper: an item", Example: `local ftp = fw.helper "ftp" { protocol = "tcp" }; raw { "ftp", tcp = 21, ftp }`}, declare: (*loader).newHelper},
		{Entry: Entry{Name: "flowtable", Takes: "name, then a table of options", Doc: "declares a flowtable, for fw.flow", Example: `fw.flowtable "fast" { devices = { "lo" } }`}, declare: (*loader).newFlowtable},
		{Entry: Entry{Name: "nft", Takes: "nft text", Doc: "stands in the generation's inet table as it is; base chains are declared with fw.chain", Example: `fw.nft [[ set marks { type mark; } ]]`}, declare: raw},
		{Entry: Entry{Name: "stream", Takes: "name, then, if need be, a table of options", Doc: "declares a flow of packet events; rules that have it among their items log to it", Example: `fw.stream "closed"`}, declare: (*loader).newStream},
		{Entry: Entry{Name: "detect", Takes: "name, then a table of options", Doc: "declares a detector, which counts the events of each source natively", Example: `fw.detect "portscan" { on = closed, count = "distinct dport", over = 10, within = "60s", ban = "1h" }`}, declare: (*loader).newDetector},
		{Entry: Entry{Name: "on", Takes: "stream, a filter if need be, function(ev)", Doc: "calls the function for each event of the stream that the filter lets through", Example: `fw.on(closed, { tcp = 3389 }, function(ev) fw.ban(ev.src, "6h", "rdp probe") end)`}, declare: (*loader).on},
		{Entry: Entry{Name: "every", Takes: "time, function()", Doc: "calls the function again and again", Example: `fw.every("10m", function() fw.log.info("bans: " .. fw.bans()) end)`}, declare: (*loader).every},
		{Entry: Entry{Name: "after", Takes: "time, function()", Doc: "calls the function once, that long after the policy has taken effect", Example: `fw.after("1m", function() fw.log.info("a minute old") end)`}, declare: (*loader).after},
		{Entry: Entry{Name: "feed", Takes: "name, then a table of options", Doc: "declares a set that the daemon fills, and keeps up to date, with a list that others publish", Example: feedForm}, declare: (*loader).newFeed},
		{Entry: Entry{Name: "geo", Takes: "a table of options", Doc: "names the databases that tell countries and networks, for ev.country, ev.asn and sets", Example: `fw.geo { country = "/var/lib/GeoIP/GeoLite2-Country.mmdb" }`}, declare: (*loader).useGeo},
		{Entry: Entry{Name: "protect", Takes: "a list of addresses, prefixes, ranges, sets and names of hosts", Doc: "exempts them from every ban and every trap; names are resolved again and again, and what they resolved to last is kept while they do not", Example: `fw.protect { "198.51.100.7", "2001:db8::/48", "admin.example.net" }`}, declare: (*loader).protect},
		{Entry: Entry{Name: "brake", Takes: "a table of options", Doc: "holds the policy's own bans back when they become too many; there is one also in a policy that does not call it", Example: `fw.brake { bans = "100/min", share = "10% of 192.0.2.0/24" }`}, declare: (*loader).brake},
		{Entry: Entry{Name: "aggregate", Takes: "a table of options", Doc: "says when enough banned neighbours become the ban of the prefix around them", Example: `fw.aggregate { ipv6 = "/56", ipv4 = "/24", over = 8 }`}, declare: (*loader).aggregate},
		{Entry: Entry{Name: "watchdog", Takes: "a table of options", Doc: "sets how long a new ruleset stays on trial, what follows when nobody confirms it, and what keeps it in force from then on", Example: `fw.watchdog { confirm = "60s", fallback = "previous" }`}, declare: (*loader).watch},

		{Entry: Entry{Name: "jump", Takes: "chain", Doc: "a verdict: goes on in another chain and comes back", Example: `input { "ssh", tcp = 22, fw.jump(ssh_in) }`}, declare: branchTo("jump", "jump")},
		{Entry: Entry{Name: "goto_", Takes: "chain", Doc: "a verdict: goes on in another chain without coming back", Example: `input { "ssh", tcp = 22, fw.goto_(ssh_in) }`}, declare: branchTo("goto", "goto_")},
		{Entry: Entry{Name: "trap", Takes: "time", Doc: "an item: the kernel drops everything from the packet's source for that time", Example: `input { "telnet", tcp = { 23, 2323 }, fw.trap "24h", fw.drop }`}, declare: trap},
		{Entry: Entry{Name: "syslog", Takes: "prefix", Doc: "an item: writes the packet to the kernel's log", Example: `input { "odd", tcp = 7, fw.syslog("odd: "), fw.drop }`}, declare: syslog},

		{Entry: Entry{Name: "ban", Takes: "address or prefix, time or list of times, reason, options", Doc: "bans a source; IPv6 addresses as their /64. Its options are kill and spare, as those of a detector. Returns true, or false and why not", Example: `fw.on(closed, function(ev) fw.ban(ev.src, { "1h", "24h" }, "knocked") end)`}, handle: (*Policy).ban},
		{Entry: Entry{Name: "unban", Takes: "address or prefix", Doc: "ends a ban. Returns true, or false and why not", Example: `fw.on(closed, function(ev) fw.unban(ev.src) end)`}, handle: (*Policy).unban},
		{Entry: Entry{Name: "banned", Takes: "address", Doc: "whether the address is banned", Example: `fw.on(closed, function(ev) if fw.banned(ev.src) then return end end)`}, handle: (*Policy).banned, reads: true},
		{Entry: Entry{Name: "bans", Doc: "the number of bans in force", Example: `fw.every("1h", function() fw.log.info(fw.bans() .. " bans") end)`}, handle: (*Policy).bans, reads: true},

		{Entry: Entry{Name: "remember", Takes: "name, value (text, number, true or false; nil forgets it), time if need be", Doc: "keeps a small value beyond restarts and applies. Returns true, or false and why not", Example: `fw.every("1h", function() fw.remember("bans", fw.bans(), "7d") end)`}, handle: (*Policy).remember},
		{Entry: Entry{Name: "recall", Takes: "name", Doc: "the value that is remembered under the name, or nil", Example: `fw.every("1h", function() fw.log.info("bans an hour ago: " .. (fw.recall("bans") or "unknown")) end)`}, handle: (*Policy).recall, reads: true},

		{Entry: Entry{Name: "notify", Takes: "target or its name, then a text, or a table: title, text and up to 20 more fields (text, number, true or false)", Doc: "tells people, by a target of the daemon's notifications, and waits for nothing: up to 10 a second, and 50 at once. Returns true, or false and why not", Example: `fw.every("1h", function() if fw.bans() > 1000 then fw.notify("ops", { title = "many bans", bans = fw.bans() }) end end)`}, handle: (*Policy).notify},
		{Entry: Entry{Name: "target", Takes: "name", Doc: "names a target of the daemon's notifications, for fw.notify: an apply is refused if the daemon knows none of that name", Example: `local ops = fw.target "ops"; fw.on(closed, function(ev) fw.notify(ops, "a knock from " .. ev.src) end)`}, declare: (*loader).newTarget},

		{Entry: Entry{Name: "lines", Takes: "name of a file in the policy's folder", Doc: "the lines of the file without blank ones and # comments", Example: `fw.protect(fw.lines("lists/drop.txt"))`}, declare: (*loader).lines},
		{Entry: Entry{Name: "log", Doc: "writes to the daemon's log", Example: `fw.log.info("loaded")`}, value: func(p *Policy) lua.LValue { return p.module("fw.log", logMembers()) }},
		{Entry: Entry{Name: "fact", Doc: "what the policy can know of its host", Example: `fw.protect(fw.fact.addresses())`}, value: func(p *Policy) lua.LValue { return p.module("fw.fact", factMembers()) }},
		{Entry: Entry{Name: "metric", Doc: "metrics of the policy's own, which Prometheus reads with moonlatch's", Example: `local knocks = fw.metric.counter("knocks", "Packets that knocked."); fw.on(closed, function() knocks:add(1) end)`}, value: func(p *Policy) lua.LValue { return p.module("fw.metric", metricMembers()) }},
		{Entry: Entry{Name: "probe", Doc: "finds out, in the watchdog's check, whether something answers", Example: `fw.watchdog { lease = "30s", check = function() return fw.probe.ping("192.0.2.1") end }`}, value: func(p *Policy) lua.LValue { return p.module("fw.probe", probeMembers()) }},
	}
	return slices.Concat(list, verdictMembers(), actionMembers())
}

// verdictMembers are the verdicts that are values by themselves.
func verdictMembers() []member {
	verdict := func(name, kind, doc string) member {
		w := word{name, ruleset.Verdict{Kind: kind}}
		return member{
			Entry: Entry{Name: name, Doc: "a verdict: " + doc, Example: `input { "ping", icmp = "echo-request", fw.` + name + ` }`},
			value: func(p *Policy) lua.LValue {
				if kind == "reject" {
					return p.wrap(rejectWord{w})
				}
				return p.wrap(w)
			},
		}
	}
	return []member{
		verdict("accept", "accept", "lets the packet pass this chain's hook"),
		verdict("drop", "drop", "drops the packet"),
		verdict("reject", "reject", `drops the packet and tells its sender; reject("tcp-reset") says how`),
		verdict("continue", "continue", "goes on with the next rule"),
		verdict("return_", "return", "goes back to the chain that jumped here"),
	}
}

func logMembers() []member {
	level := func(name string, level slog.Level) member {
		return member{
			Entry:  Entry{Name: name, Takes: "message", Doc: "writes a message to the daemon's log at this level", Example: `fw.log.` + name + `("message")`},
			always: logAt(name, level),
		}
	}
	return []member{
		level("debug", slog.LevelDebug),
		level("info", slog.LevelInfo),
		level("warn", slog.LevelWarn),
		level("error", slog.LevelError),
	}
}

func factMembers() []member {
	return []member{
		{Entry: Entry{Name: "interfaces", Doc: "the names of this host's interfaces", Example: `for _, name in ipairs(fw.fact.interfaces()) do fw.log.info(name) end`}, declare: (*loader).factInterfaces},
		{Entry: Entry{Name: "addresses", Doc: "this host's addresses", Example: `fw.protect(fw.fact.addresses())`}, declare: (*loader).factAddresses},
		{Entry: Entry{Name: "hostname", Doc: "this host's name", Example: `fw.log.info(fw.fact.hostname)`}, value: func(p *Policy) lua.LValue { return lua.LString(p.env.Hostname) }},
		{Entry: Entry{Name: "resolve", Takes: "name of a host", Doc: "its addresses of both families, as they are while the policy is read; a name without any is an error", Example: `fw.set "mirror" (fw.fact.resolve("mirror.example.org"))`}, declare: (*loader).resolve},
	}
}
