---@meta moonlatch

-- The module moonlatch, for the Lua language server. Generated from the schema that policies are checked with.

---an item of a rule that ends it
---@class moonlatch.verdict
local verdict = {}

---the verdict reject, which can be called to say how
---@class moonlatch.reject
---@overload fun(how: string): moonlatch.verdict
local reject = {}

---an item of a rule
---@class moonlatch.item
local item = {}

---a chain: the first call may configure it, further ones append a rule each
---@class moonlatch.chain
---@overload fun(table: moonlatch.chain.options|moonlatch.rule.options): moonlatch.chain
local chain = {}

---a set: a call with a table fills it
---@class moonlatch.set
---@overload fun(content: moonlatch.set.options): moonlatch.set
local set = {}

---a map: a call with a table fills it
---@class moonlatch.map
---@overload fun(content: table): moonlatch.map
local map = {}

---a quota: a call says how much
---@class moonlatch.quota
---@overload fun(amount: string): moonlatch.quota
local quota = {}

---a connection tracking helper: an item
---@class moonlatch.helper
---@overload fun(options: moonlatch.helper.options): moonlatch.helper
local helper = {}

---a flowtable
---@class moonlatch.flowtable
---@overload fun(options: moonlatch.flowtable.options): moonlatch.flowtable
local flowtable = {}

---a target of notifications
---@class moonlatch.target
local target = {}

---a stream: an item that logs to it
---@class moonlatch.stream
---@overload fun(options: moonlatch.stream.options): moonlatch.stream
local stream = {}

---what waits for its table
---@class moonlatch.declared
---@overload fun(options: table)
local declared = {}

---the event that a handler gets
---@class moonlatch.event
---@field time number|nil when the packet came, in seconds since 1970. Takes: number
---@field stream string|nil the stream's name. Takes: text
---@field rule string|nil the name of the rule that logged the packet. Takes: text
---@field family string|nil "ipv4" or "ipv6". Takes: text
---@field src string|nil source address. Takes: text
---@field dst string|nil destination address. Takes: text
---@field proto string|nil the protocol's name, "tcp", or its number as text. Takes: text
---@field sport number|nil source port. Takes: number
---@field dport number|nil destination port. Takes: number
---@field flags string|nil the TCP flags that are set, such as "syn,ack". Takes: text
---@field ttl number|nil TTL or hop limit. Takes: number
---@field length number|nil bytes, with the IP header. Takes: number
---@field iif string|nil name of the input interface. Takes: text
---@field oif string|nil name of the output interface. Takes: text
---@field mark number|nil the packet's mark. Takes: number
---@field mac string|nil source hardware address. Takes: text
---@field icmp_type string|nil name of the ICMP type, such as "echo-request", or its number as text. Takes: text
---@field icmp_code number|nil ICMP code. Takes: number
---@field uid number|nil owner of the local socket. Takes: number
---@field gid number|nil group of the local socket. Takes: number
---@field payload string|nil the bytes behind the transport header, as far as they were copied. Takes: text
---@field country string|nil the source's country, such as "DE", from the database of fw.geo. Takes: text
---@field asn number|nil the source's network (autonomous system), from the database of fw.geo. Takes: number
local event = {}

---searches the payload for a regular expression (RE2): the captures of the first match, or the match, or nil
---@param pattern string
---@return string|nil ...
function event:match(pattern) end

---what a detector's action gets
---@class moonlatch.hit
---@field detector string|nil the detector's name. Takes: text
---@field key string|nil what the counted events have in common, such as "203.0.113.9", "203.0.113.0/24", "192.0.2.1" or "203.0.113.9 to port 22". Takes: text
---@field src string|nil the address that went over the threshold; with per = "src/24", the last of that prefix. nil with per = "dst". Takes: text
---@field dst string|nil the destination address with per = "dst" or { "src", "dst" }, otherwise nil. Takes: text
---@field dport number|nil the destination port with per = { "src", "dport" }, otherwise nil. Takes: number
---@field first number|nil when the first counted event came, in seconds since 1970. Takes: number
---@field last number|nil when the last counted event came. Takes: number
---@field count number|nil how much was counted: packets, bytes or distinct things. Takes: number
---@field ports number[]|nil the latest 64 destination ports, with count = "distinct dport"; otherwise that of the last packet, if it has one. Takes: list of numbers
---@field addresses string[]|nil the latest 64 addresses that were counted, with count = "distinct dst" or "distinct src"; of IPv6 sources the first of their /64. Takes: list of text
local hit = {}

---a metric that the policy declares
---@class moonlatch.metric
local metric = {}

---adds to it; of counters and gauges. Returns true, or false and why not
---
---Takes: number, then the values of its labels
---
---Example: `local knocks = fw.metric.counter("knocks", "Packets that knocked.", { "port" }); fw.on(closed, function(ev) knocks:add(1, { port = ev.dport }) end)`
---@param amount number
---@param labels? table<string,string|number>
---@return boolean
---@return string|nil
function metric:add(amount, labels) end

---sets it; of gauges. Returns true, or false and why not
---
---Takes: number, then the values of its labels
---
---Example: `local seen = fw.metric.gauge("seen", "Sources seen lately."); fw.every("1m", function() seen:set(fw.bans()) end)`
---@param amount number
---@param labels? table<string,string|number>
---@return boolean
---@return string|nil
function metric:set(amount, labels) end

---counts it in its bucket; of histograms. Returns true, or false and why not
---
---Takes: number, then the values of its labels
---
---Example: `local sizes = fw.metric.histogram("packet_bytes", "Sizes of knocks.", {}, { 64, 512, 1500 }); fw.on(closed, function(ev) sizes:observe(ev.length) end)`
---@param amount number
---@param labels? table<string,string|number>
---@return boolean
---@return string|nil
function metric:observe(amount, labels) end

---the table of a chain
---@class moonlatch.chain.options
---@field hook? "prerouting"|"input"|"forward"|"output"|"postrouting"|"ingress"|"egress" where the kernel calls the chain; without it, a chain to jump to. Takes: "prerouting", "input", "forward", "output", "postrouting", "ingress" or "egress"
---@field type? "filter"|"nat"|"route" what the chain does; default "filter". Takes: "filter", "nat" or "route"
---@field priority? any its place among the chains of its hook; the default is that of its type. Takes: a number or nft's words: "filter", "raw - 10"
---@field policy? "accept"|"drop" what becomes of a packet at its end; default "accept". Takes: "accept" or "drop"
---@field device? any the interface of an ingress or egress hook. Takes: name of an interface
---@field family? "inet"|"bridge"|"arp"|"netdev" the packets that the chain sees; default "inet": IPv4 and IPv6. Takes: "inet", "bridge", "arp" or "netdev"
---@field [integer] any
local options = {}

---the table of a rule
---@class moonlatch.rule.options
---@field iif? any the interface that the packet came in through. Takes: name or list of names; "wg*" for all that start so
---@field not_iif? any the opposite of iif
---@field oif? any the interface that the packet goes out through. Takes: as iif
---@field not_oif? any the opposite of oif
---@field src? any the packet's source. Takes: address, prefix, range, set, or a list of these, of either family
---@field not_src? any the opposite of src
---@field dst? any the packet's destination. Takes: as src
---@field not_dst? any the opposite of dst
---@field tcp? any the destination port, of packets of this protocol. Takes: port, range "6000-6100", service name, set, or a list of these; true for any port
---@field not_tcp? any the opposite of tcp
---@field udp? any the destination port, of packets of this protocol. Takes: port, range "6000-6100", service name, set, or a list of these; true for any port
---@field not_udp? any the opposite of udp
---@field sctp? any the destination port, of packets of this protocol. Takes: port, range "6000-6100", service name, set, or a list of these; true for any port
---@field not_sctp? any the opposite of sctp
---@field dccp? any the destination port, of packets of this protocol. Takes: port, range "6000-6100", service name, set, or a list of these; true for any port
---@field not_dccp? any the opposite of dccp
---@field proto? any the protocol behind the IP header. Takes: name, number, or a list of these
---@field not_proto? any the opposite of proto
---@field dport? any the destination port where proto names several protocols. Takes: as tcp
---@field not_dport? any the opposite of dport
---@field sport? any the source port of the protocol that another field names. Takes: as tcp
---@field not_sport? any the opposite of sport
---@field icmp? any the type of an ICMP or ICMPv6 message, of both where both have it. Takes: type name or list of these; true for any
---@field not_icmp? any the opposite of icmp
---@field ct? any the state of the packet's connection. Takes: state or list of states: new, established, related, invalid, untracked; or a table, see below
---@field not_ct? any the opposite of ct
---@field flags? any TCP flags. Takes: "syn" for a new connection attempt; flags set/flags looked at; "none", "all"
---@field not_flags? any the opposite of flags
---@field mark? any the packet's mark. Takes: number, range "1-9", comparison "< 9", or a list of these; "0x10/0xf0" for some of its bits
---@field not_mark? any the opposite of mark
---@field uid? any who owns the socket that sends the packet, in output chains. Takes: user's name or number, range, or list
---@field not_uid? any the opposite of uid
---@field gid? any likewise, its group. Takes: group's name or number, range, or list
---@field not_gid? any the opposite of gid
---@field cgroup? any the control group of the packet's socket, which must exist when the ruleset is loaded, at boot too. Takes: path below /sys/fs/cgroup, or a class id
---@field not_cgroup? any the opposite of cgroup
---@field dscp? any the differentiated services code point. Takes: class such as "ef", "cs1", "af21"; number; list
---@field not_dscp? any the opposite of dscp
---@field ttl? any the packet's time to live, or hop limit. Takes: number, range "1-9", comparison "< 9", or a list of these
---@field not_ttl? any the opposite of ttl
---@field length? any the packet's length in bytes. Takes: number, range "1-9", comparison "< 9", or a list of these
---@field not_length? any the opposite of length
---@field mac? any the packet's Ethernet source. Takes: Ethernet address or list
---@field not_mac? any the opposite of mac
---@field pkttype? any to whom the packet was sent at its link. Takes: "unicast", "broadcast", "multicast", "other", or a list
---@field not_pkttype? any the opposite of pkttype
---@field fib? any what the routing tables say. Takes: nft's words: "saddr . iif oif missing", "daddr type local,broadcast"
---@field not_fib? any the opposite of fib
---@field time? any when the packet comes, in the time zone of this host as it is when the ruleset is loaded. Takes: "09:00-17:00", or { hour =, day =, date = }
---@field not_time? any the opposite of time
---@field set? any the parts of the packet that the set is of, side by side. Takes: a set of several parts
---@field not_set? any the opposite of set
---@field limit? "10/s"|"200/s burst 50 per src"|"per src/24" matches while packets come at no more than the rate. Takes: "10/s", "200/s burst 50 per src", "per src/24"
---@field over? any matches what comes faster than the rate. Takes: as limit
---@field connlimit? "20 per src"|"over 20 per src/24"|"500" matches while there are no more tracked connections than that, or, with over, when there are more. Takes: "20 per src", "over 20 per src/24", "500"
---@field quota? "10 mbytes"|"over 2 gbytes" matches until so much has come, or, with over, from then on; anew with each apply. Takes: "10 mbytes", "over 2 gbytes"
---@field [integer] any
local options = {}

---the table of a connection
---@class moonlatch.ct.options
---@field state? any as ct itself takes them. Takes: state or list of states
---@field not_state? any the opposite of state
---@field status? any what has become of the connection; any of them. Takes: one or a list of expected, seen-reply, assured, confirmed, snat, dnat, dying
---@field not_status? any the opposite of status
---@field mark? any the connection's mark. Takes: as the rule's mark
---@field not_mark? any the opposite of mark
---@field direction? "original"|"reply" the packet's direction in the connection. Takes: "original" or "reply"
---@field not_direction? "original"|"reply" the opposite of direction
---@field zone? any the connection tracking zone. Takes: number, range or list
---@field not_zone? any the opposite of zone
---@field bytes? any bytes of the connection so far, where the kernel counts them (net.netfilter.nf_conntrack_acct). Takes: number, range or comparison: "> 1000000"
---@field not_bytes? any the opposite of bytes
---@field packets? any packets of the connection so far, likewise. Takes: as bytes
---@field not_packets? any the opposite of packets
---@field helper? any the helper that follows the connection. Takes: name or list of names
---@field not_helper? any the opposite of helper
---@field [integer] any
local options = {}

---the table of a time
---@class moonlatch.time.options
---@field hour? any the time of day, the end excluded. Takes: "09:00-17:00"
---@field not_hour? any the opposite of hour
---@field day? any the day of the week. Takes: day, range "Mon-Fri", or a list of these
---@field not_day? any the opposite of day
---@field date? any between two dates, both included. Takes: "2026-12-24 to 2027-01-06", with times of day if need be
---@field not_date? any the opposite of date
---@field [integer] any
local options = {}

---the table of fw.synproxy
---@class moonlatch.synproxy.options
---@field mss? any the maximum segment size of the servers behind; default 1460. Takes: bytes
---@field wscale? any their window scale; default 7. Takes: 0 to 14
---@field timestamp? boolean whether they use TCP timestamps; default true. Takes: true or false
---@field sack? boolean whether they take selective acknowledgements; default true. Takes: true or false
---@field [integer] any
local options = {}

---the table of a set
---@class moonlatch.set.options
---@field file? string a list to take in: one address, prefix, range or port a line, # starts a comment. Takes: name of a file in the policy's folder
---@field of? any what each item of the set holds, side by side; a rule asks for it with the field set. Takes: list of src, dst, sport, dport, iif, oif, mark, proto, mac
---@field country? any takes in all addresses of these countries, from the database of fw.geo as it is when the policy is read. Takes: country code such as "CN", or a list
---@field asn? any takes in all addresses of these networks, from the database of fw.geo as it is when the policy is read. Takes: number of an autonomous system, or a list
---@field dynamic? boolean packets fill the set, by fw.add. Takes: true
---@field timeout? string how long an address stays that fw.add gives no time; default for good. Takes: time
---@field size? number the most addresses of each family; default 65535. Takes: number
---@field keep? boolean each apply takes over what the set holds in the generation in force, with what is left of their times. Takes: true
---@field [integer] any
local options = {}

---the table of a feed
---@class moonlatch.feed.options
---@field url? any where the list is fetched from. Takes: https address
---@field file? any instead of url: a file that another program puts on this host, by its whole path or by its name in the policy's folder. Takes: path of a file
---@field every? string how often it is fetched, at most every minute; default 1h. Takes: time
---@field format? "plain"|"cidr"|"json" how it is written: an address, prefix or range a line; prefixes only; an array, or a JSON value a line. Default "plain". Takes: "plain", "cidr" or "json"
---@field max? number the most entries; a longer list is refused. Default 131072. Takes: number
---@field sanity? any by how much the list may shrink at once; a list that shrinks more is refused, and so is an empty one. "100%" takes any. Default "50%". Takes: { shrink = "50%" }
---@field http? boolean lets the list come without encryption, where anybody on the way can change it. Takes: true
---@field [integer] any
local options = {}

---the table of fw.geo
---@class moonlatch.geo.options
---@field country? any what tells countries: GeoLite2-Country, GeoLite2-City, DBIP-Country-Lite. Takes: path of a .mmdb file
---@field asn? any what tells networks (autonomous systems): GeoLite2-ASN, DBIP-ASN-Lite. Takes: path of a .mmdb file
---@field [integer] any
local options = {}

---the table of a helper
---@class moonlatch.helper.options
---@field type? any the kernel's name of the helper; default the object's name. Takes: ftp, tftp, sip, irc, h323 (Q.931, RAS), pptp, snmp, amanda, sane, netbios-ns
---@field protocol? "tcp"|"udp" the protocol that it reads; default "tcp". Takes: "tcp" or "udp"
---@field [integer] any
local options = {}

---the table of a flowtable
---@class moonlatch.flowtable.options
---@field devices? any the interfaces between which connections are sped up. Takes: names of interfaces
---@field offload? boolean whether the network cards do it, where they can; default false. Takes: true or false
---@field [integer] any
local options = {}

---the table of a stream
---@class moonlatch.stream.options
---@field snaplen? number how much of each packet is copied, at most 1024; default 128. Takes: number of bytes
---@field rate? "5000/s"|"5000/s burst 100" how many events are let through; default all. Takes: "5000/s", "5000/s burst 100"
---@field [integer] any
local options = {}

---the table of a detector
---@class moonlatch.detect.options
---@field on? moonlatch.stream|moonlatch.stream[] the events to count. Takes: stream or list of streams
---@field count? "events"|"bytes"|"distinct dport"|"distinct dst"|"distinct src" what is counted; default "events". Takes: "events", "bytes", "distinct dport", "distinct dst" or "distinct src"
---@field per? any whose events are counted together; default "src", of IPv6 the /64. A length up to 32 is for IPv4 sources, a longer one for IPv6 sources. Takes: "src", "dst", { "src", "dport" } or { "src", "dst" }, with a prefix such as "src/24" if need be
---@field over? any the most that is allowed; of "bytes" in bytes. Takes: whole number, up to 4096 of distinct things
---@field within? string the sliding window in which it is counted. Takes: time
---@field except? any sources that are never counted. Takes: address, prefix, range, set, or a list of these
---@field track? number the number of sources, or of what else events are counted per, that are remembered at once; default 65536. Takes: whole number
---@field ban? string|string[] bans who exceeds it, for longer with each repeat; with per = "src/24" all of that prefix. Takes: time or list of times
---@field action? fun(hit: moonlatch.hit) is called with the evidence. Takes: function(hit)
---@field shadow? boolean reports whom it would have banned, and bans nobody. Takes: true or false
---@field kill? boolean ends the connections that are established with the banned source, of this host and forwarded ones, so that none of them goes on after the ban; default false. Takes: true or false
---@field spare? any bans nobody whom this host has itself opened a connection to, which is looked up when a ban is about to be made. Takes: "connected"
---@field [integer] any
local options = {}

---the table of a handler's filter
---@class moonlatch.on.options
---@field fields? any passes these to the function instead of an event object, which is faster. Takes: list of names of event fields
---@field [integer] any
local options = {}

---the table of the brake
---@class moonlatch.brake.options
---@field bans? any the most new bans that handlers, detectors and traps make; as many can come at once; default "3000/min". Takes: "100/min", or false for no limit
---@field share? any the most of a prefix that may be banned, in hundredths of its addresses, or of its /64s for IPv6. A length up to 32 is for IPv4, a longer one for IPv6; default none. Takes: "10% of 192.0.2.0/24", "5% of /16" for each such prefix, or a list of these
---@field most? number the most bans in force: one more takes the place of the one that ends soonest, but never of a person's, or is not made if that is itself; default 1048576. Takes: whole number
---@field [integer] any
local options = {}

---the table of the aggregation of bans
---@class moonlatch.aggregate.options
---@field ipv6? any the widest prefix that is banned for its /64s: a /56 when more than over of them are banned, a /48 when more than four times as many are; default "/48". Takes: "/48", "/56" or false
---@field ipv4? any the prefix that is banned when more than over of its addresses are; default never. Takes: "/20" to "/30"
---@field over? any how many of its /64s or addresses may be banned at once without the prefix being banned; default 4. Takes: whole number from 1 to 64
---@field [integer] any
local options = {}

---the table of the watchdog
---@class moonlatch.watchdog.options
---@field confirm? string how long a new ruleset waits to be confirmed; default 60s. Takes: time
---@field fallback? "previous"|"open" what follows when nobody confirms it; default "previous". Takes: "previous" or "open"
---@field lease? string lets everything through once the daemon has been dead or hung, or the check has failed, for that long; default: never. Takes: time
---@field check? fun(): any says with true that all is well; asked every third of the lease. Takes: function()
---@field drift? "heal"|"report" what follows when somebody else changes the ruleset in the kernel; default "heal": it is put back. Takes: "heal" or "report"
---@field [integer] any
local options = {}

---@class moonlatch
local fw = {}

---declares a chain; calling it with a table appends a rule
---
---Takes: name, then a table of options
---
---Example: `fw.chain "input" { hook = "input", policy = "drop" }`
---@param name string
---@return moonlatch.chain
function fw.chain(name) end

---declares a named set
---
---Takes: name, then a table of addresses, prefixes and ranges of both families, or of ports
---
---Example: `fw.set "admins" { "192.0.2.0/28", "2001:db8::/48" }`
---@param name string
---@return moonlatch.set
function fw.set(name) end

---declares a named map, for fw.dnat, fw.snat, fw.mark and fw.ctmark
---
---Takes: name, then a table of addresses, of { address, port } or of marks, by destination port or by what its field by names: src, dst, sport, dport, iif, oif, mark, proto, mac
---
---Example: `local ports = fw.map "ports" { [80] = "192.0.2.80", [443] = "192.0.2.81" }; dstnat { "ports", tcp = true, fw.dnat(ports) }`
---@param name string
---@return moonlatch.map
function fw.map(name) end

---declares a counter that several rules share: an item
---
---Takes: name
---
---Example: `local web = fw.counter "web"; input { "web", tcp = 80, web, accept }`
---@param name string
---@return moonlatch.item
function fw.counter(name) end

---declares a quota that several rules share: a value of the field quota
---
---Takes: name, then "10 mbytes" or "over 10 mbytes"
---
---Example: `local plan = fw.quota "plan" "over 2 gbytes"; output { "plan", quota = plan, drop }`
---@param name string
---@return moonlatch.quota
function fw.quota(name) end

---declares a connection tracking helper: an item
---
---Takes: name, then a table of options
---
---Example: `local ftp = fw.helper "ftp" { protocol = "tcp" }; raw { "ftp", tcp = 21, ftp }`
---@param name string
---@return moonlatch.helper
function fw.helper(name) end

---declares a flowtable, for fw.flow
---
---Takes: name, then a table of options
---
---Example: `fw.flowtable "fast" { devices = { "lo" } }`
---@param name string
---@return moonlatch.flowtable
function fw.flowtable(name) end

---stands in the generation's inet table as it is; base chains are declared with fw.chain
---
---Takes: nft text
---
---Example: `fw.nft [[ set marks { type mark; } ]]`
---@param text string
function fw.nft(text) end

---declares a flow of packet events; rules that have it among their items log to it
---
---Takes: name, then, if need be, a table of options
---
---Example: `fw.stream "closed"`
---@param name string
---@return moonlatch.stream
function fw.stream(name) end

---declares a detector, which counts the events of each source natively
---
---Takes: name, then a table of options
---
---Example: `fw.detect "portscan" { on = closed, count = "distinct dport", over = 10, within = "60s", ban = "1h" }`
---@param name string
---@return moonlatch.declared
function fw.detect(name) end

---calls the function for each event of the stream that the filter lets through
---
---Takes: stream, a filter if need be, function(ev)
---
---Example: `fw.on(closed, { tcp = 3389 }, function(ev) fw.ban(ev.src, "6h", "rdp probe") end)`
---@param stream moonlatch.stream
---@param filter moonlatch.on.options|fun(ev: moonlatch.event)
---@param handler? fun(ev: moonlatch.event)
function fw.on(stream, filter, handler) end

---calls the function again and again
---
---Takes: time, function()
---
---Example: `fw.every("10m", function() fw.log.info("bans: " .. fw.bans()) end)`
---@param time string
---@param run fun()
function fw.every(time, run) end

---calls the function once, that long after the policy has taken effect
---
---Takes: time, function()
---
---Example: `fw.after("1m", function() fw.log.info("a minute old") end)`
---@param time string
---@param run fun()
function fw.after(time, run) end

---declares a set that the daemon fills, and keeps up to date, with a list that others publish
---
---Takes: name, then a table of options
---
---Example: `fw.feed "drop" { url = "https://lists.example.org/drop.txt" }`
---@param name string
---@return fun(options: moonlatch.feed.options): moonlatch.set
function fw.feed(name) end

---names the databases that tell countries and networks, for ev.country, ev.asn and sets
---
---Takes: a table of options
---
---Example: `fw.geo { country = "/var/lib/GeoIP/GeoLite2-Country.mmdb" }`
---@param options moonlatch.geo.options
function fw.geo(options) end

---exempts them from every ban and every trap; names are resolved again and again, and what they resolved to last is kept while they do not
---
---Takes: a list of addresses, prefixes, ranges, sets and names of hosts
---
---Example: `fw.protect { "198.51.100.7", "2001:db8::/48", "admin.example.net" }`
---@param addresses string|moonlatch.set|table
function fw.protect(addresses) end

---holds the policy's own bans back when they become too many; there is one also in a policy that does not call it
---
---Takes: a table of options
---
---Example: `fw.brake { bans = "100/min", share = "10% of 192.0.2.0/24" }`
---@param options moonlatch.brake.options
function fw.brake(options) end

---says when enough banned neighbours become the ban of the prefix around them
---
---Takes: a table of options
---
---Example: `fw.aggregate { ipv6 = "/56", ipv4 = "/24", over = 8 }`
---@param options moonlatch.aggregate.options
function fw.aggregate(options) end

---sets how long a new ruleset stays on trial, what follows when nobody confirms it, and what keeps it in force from then on
---
---Takes: a table of options
---
---Example: `fw.watchdog { confirm = "60s", fallback = "previous" }`
---@param options moonlatch.watchdog.options
function fw.watchdog(options) end

---a verdict: goes on in another chain and comes back
---
---Takes: chain
---
---Example: `input { "ssh", tcp = 22, fw.jump(ssh_in) }`
---@param chain moonlatch.chain
---@return moonlatch.verdict
function fw.jump(chain) end

---a verdict: goes on in another chain without coming back
---
---Takes: chain
---
---Example: `input { "ssh", tcp = 22, fw.goto_(ssh_in) }`
---@param chain moonlatch.chain
---@return moonlatch.verdict
function fw.goto_(chain) end

---an item: the kernel drops everything from the packet's source for that time
---
---Takes: time
---
---Example: `input { "telnet", tcp = { 23, 2323 }, fw.trap "24h", fw.drop }`
---@param time string
---@return moonlatch.item
function fw.trap(time) end

---an item: writes the packet to the kernel's log
---
---Takes: prefix
---
---Example: `input { "odd", tcp = 7, fw.syslog("odd: "), fw.drop }`
---@param prefix string
---@return moonlatch.item
function fw.syslog(prefix) end

---bans a source; IPv6 addresses as their /64. Its options are kill and spare, as those of a detector. Returns true, or false and why not
---
---Takes: address or prefix, time or list of times, reason, options
---
---Example: `fw.on(closed, function(ev) fw.ban(ev.src, { "1h", "24h" }, "knocked") end)`
---@param target string
---@param time string|string[]
---@param why? string|table
---@param options? table
---@return boolean
---@return string|nil
function fw.ban(target, time, why, options) end

---ends a ban. Returns true, or false and why not
---
---Takes: address or prefix
---
---Example: `fw.on(closed, function(ev) fw.unban(ev.src) end)`
---@param target string
---@return boolean
---@return string|nil
function fw.unban(target) end

---whether the address is banned
---
---Takes: address
---
---Example: `fw.on(closed, function(ev) if fw.banned(ev.src) then return end end)`
---@param address string
---@return boolean
function fw.banned(address) end

---the number of bans in force
---
---Example: `fw.every("1h", function() fw.log.info(fw.bans() .. " bans") end)`
---@return number
function fw.bans() end

---keeps a small value beyond restarts and applies. Returns true, or false and why not
---
---Takes: name, value (text, number, true or false; nil forgets it), time if need be
---
---Example: `fw.every("1h", function() fw.remember("bans", fw.bans(), "7d") end)`
---@param name string
---@param value string|number|boolean|nil
---@param time? string
---@return boolean
---@return string|nil
function fw.remember(name, value, time) end

---the value that is remembered under the name, or nil
---
---Takes: name
---
---Example: `fw.every("1h", function() fw.log.info("bans an hour ago: " .. (fw.recall("bans") or "unknown")) end)`
---@param name string
---@return string|number|boolean|nil
function fw.recall(name) end

---tells people, by a target of the daemon's notifications, and waits for nothing: up to 10 a second, and 50 at once. Returns true, or false and why not
---
---Takes: target or its name, then a text, or a table: title, text and up to 20 more fields (text, number, true or false)
---
---Example: `fw.every("1h", function() if fw.bans() > 1000 then fw.notify("ops", { title = "many bans", bans = fw.bans() }) end end)`
---@param target string|moonlatch.target
---@param notice string|table<string,string|number|boolean>
---@return boolean
---@return string|nil
function fw.notify(target, notice) end

---names a target of the daemon's notifications, for fw.notify: an apply is refused if the daemon knows none of that name
---
---Takes: name
---
---Example: `local ops = fw.target "ops"; fw.on(closed, function(ev) fw.notify(ops, "a knock from " .. ev.src) end)`
---@param name string
---@return moonlatch.target
function fw.target(name) end

---the lines of the file without blank ones and # comments
---
---Takes: name of a file in the policy's folder
---
---Example: `fw.protect(fw.lines("lists/drop.txt"))`
---@param file string
---@return string[]
function fw.lines(file) end

---writes to the daemon's log
---
---Example: `fw.log.info("loaded")`
---@class moonlatch.log
fw.log = {}

---writes a message to the daemon's log at this level
---
---Takes: message
---
---Example: `fw.log.debug("message")`
---@param message string|number
function fw.log.debug(message) end

---writes a message to the daemon's log at this level
---
---Takes: message
---
---Example: `fw.log.info("message")`
---@param message string|number
function fw.log.info(message) end

---writes a message to the daemon's log at this level
---
---Takes: message
---
---Example: `fw.log.warn("message")`
---@param message string|number
function fw.log.warn(message) end

---writes a message to the daemon's log at this level
---
---Takes: message
---
---Example: `fw.log.error("message")`
---@param message string|number
function fw.log.error(message) end

---what the policy can know of its host
---
---Example: `fw.protect(fw.fact.addresses())`
---@class moonlatch.fact
fw.fact = {}

---the names of this host's interfaces
---
---Example: `for _, name in ipairs(fw.fact.interfaces()) do fw.log.info(name) end`
---@return string[]
function fw.fact.interfaces() end

---this host's addresses
---
---Example: `fw.protect(fw.fact.addresses())`
---@return string[]
function fw.fact.addresses() end

---this host's name
---
---Example: `fw.log.info(fw.fact.hostname)`
---@type string
fw.fact.hostname = nil

---its addresses of both families, as they are while the policy is read; a name without any is an error
---
---Takes: name of a host
---
---Example: `fw.set "mirror" (fw.fact.resolve("mirror.example.org"))`
---@param name string
---@return string[]
function fw.fact.resolve(name) end

---metrics of the policy's own, which Prometheus reads with moonlatch's
---
---Example: `local knocks = fw.metric.counter("knocks", "Packets that knocked."); fw.on(closed, function() knocks:add(1) end)`
---@class moonlatch.metric
fw.metric = {}

---declares a metric that only grows, "moonlatch_custom_NAME_total"
---
---Takes: name, help, then, if need be, a list of label names
---
---Example: `local m = fw.metric.counter("knock_packets", "Packets that knocked.", { "port" }); fw.on(closed, function(ev) m:add(1, { port = ev.dport }) end)`
---@param name string
---@param help string
---@param labels? string[]
---@return moonlatch.metric
function fw.metric.counter(name, help, labels) end

---declares a metric that goes up and down, "moonlatch_custom_NAME"
---
---Takes: name, help, then, if need be, a list of label names
---
---Example: `local m = fw.metric.gauge("knock_packets", "Packets that knocked.", { "port" }); fw.on(closed, function(ev) m:set(1, { port = ev.dport }) end)`
---@param name string
---@param help string
---@param labels? string[]
---@return moonlatch.metric
function fw.metric.gauge(name, help, labels) end

---declares a metric of how large things are, in buckets of 0.005 to 10, or of a list behind the labels
---
---Takes: name, help, then, if need be, a list of label names
---
---Example: `local m = fw.metric.histogram("knock_packets", "Packets that knocked.", { "port" }); fw.on(closed, function(ev) m:observe(1, { port = ev.dport }) end)`
---@param name string
---@param help string
---@param labels? string[]
---@param buckets? number[]
---@return moonlatch.metric
function fw.metric.histogram(name, help, labels, buckets) end

---finds out, in the watchdog's check, whether something answers
---
---Example: `fw.watchdog { lease = "30s", check = function() return fw.probe.ping("192.0.2.1") end }`
---@class moonlatch.probe
fw.probe = {}

---makes a TCP connection; returns true, or false and why not
---
---Takes: "HOST:PORT", a time-out (default 3s)
---
---Example: `fw.watchdog { lease = "30s", check = function() return fw.probe.tcp("192.0.2.1:443") end }`
---@param target string
---@param timeout? string
---@return boolean
---@return string|nil
function fw.probe.tcp(target, timeout) end

---sends a datagram, which must be answered; returns true, or false and why not
---
---Takes: "HOST:PORT", a time-out (default 3s)
---
---Example: `fw.watchdog { lease = "30s", check = function() return fw.probe.udp("192.0.2.1:7") end }`
---@param target string
---@param timeout? string
---@return boolean
---@return string|nil
function fw.probe.udp(target, timeout) end

---looks up a name's addresses; returns true, or false and why not
---
---Takes: "NAME" or "NAME@SERVER", a time-out (default 3s)
---
---Example: `fw.watchdog { lease = "30s", check = function() return fw.probe.dns("www.example.org@192.0.2.53") end }`
---@param target string
---@param timeout? string
---@return boolean
---@return string|nil
function fw.probe.dns(target, timeout) end

---asks for a page; without a status, any below 500 will do; returns true, or false and why not
---
---Takes: a URL, or "URL#STATUS", a time-out (default 3s)
---
---Example: `fw.watchdog { lease = "30s", check = function() return fw.probe.http("https://192.0.2.1/health") end }`
---@param target string
---@param timeout? string
---@return boolean
---@return string|nil
function fw.probe.http(target, timeout) end

---sends an ICMP echo request; returns true, or false and why not
---
---Takes: "HOST", a time-out (default 3s)
---
---Example: `fw.watchdog { lease = "30s", check = function() return fw.probe.ping("192.0.2.1") end }`
---@param target string
---@param timeout? string
---@return boolean
---@return string|nil
function fw.probe.ping(target, timeout) end

---a verdict: lets the packet pass this chain's hook
---
---Example: `input { "ping", icmp = "echo-request", fw.accept }`
---@type moonlatch.verdict
fw.accept = nil

---a verdict: drops the packet
---
---Example: `input { "ping", icmp = "echo-request", fw.drop }`
---@type moonlatch.verdict
fw.drop = nil

---a verdict: drops the packet and tells its sender; reject("tcp-reset") says how
---
---Example: `input { "ping", icmp = "echo-request", fw.reject }`
---@type moonlatch.reject
fw.reject = nil

---a verdict: goes on with the next rule
---
---Example: `input { "ping", icmp = "echo-request", fw.continue }`
---@type moonlatch.verdict
fw.continue = nil

---a verdict: goes back to the chain that jumped here
---
---Example: `input { "ping", icmp = "echo-request", fw.return_ }`
---@type moonlatch.verdict
fw.return_ = nil

---an item: sets the packet's mark
---
---Takes: number, "0x10/0xf0" for some of its bits, or "ct" for the connection's; or a map
---
---Example: `input { "mark", tcp = 80, fw.mark(1) }`
---@param value number|string|moonlatch.map
---@return moonlatch.item
function fw.mark(value) end

---an item: sets the mark of the packet's connection
---
---Takes: number, "0x10/0xf0" for some of its bits, or "mark" for the packet's; or a map
---
---Example: `input { "mark", tcp = 80, fw.ctmark(1) }`
---@param value number|string|moonlatch.map
---@return moonlatch.item
function fw.ctmark(value) end

---an item: sets the differentiated services code point
---
---Takes: class such as "cs1", or number
---
---Example: `input { "bulk", tcp = 873, fw.dscp("cs1") }`
---@param value number|string
---@return moonlatch.item
function fw.dscp(value) end

---an item: exempts the packet from connection tracking, in a chain of hook prerouting or output and priority raw
---
---Example: `raw { "dns", udp = 53, fw.notrack() }`
---@return moonlatch.item
function fw.notrack() end

---an item: sets the maximum segment size that TCP connections announce
---
---Takes: "rt mtu" or bytes
---
---Example: `forward { "mss", flags = "syn/syn,rst", fw.mss("rt mtu") }`
---@param size number|string
---@return moonlatch.item
function fw.mss(size) end

---an item: hands the packet to a program; it ends the rule
---
---Takes: number or range of queues; then "bypass,fanout"
---
---Example: `input { "ids", tcp = 80, fw.queue("1-3", "bypass") }`
---@param queues number|string
---@param flags? string
---@return moonlatch.item
function fw.queue(queues, flags) end

---an item: sends a copy out through it, in netdev chains
---
---Takes: name of an interface
---
---Example: `ingress { "tap", fw.dup("lo") }`
---@param interface string
---@return moonlatch.item
function fw.dup(interface) end

---an item: hands the packet to a local socket as it is, in prerouting; accept it behind that
---
---Takes: address if need be, then port
---
---Example: `early { "proxy", tcp = 80, fw.tproxy("127.0.0.1", 50080) }`
---@param address string|number
---@param port? number
---@return moonlatch.item
function fw.tproxy(address, port) end

---an item: gives packets another source; it ends the rule
---
---Takes: address, range, or one of each family; then ports and flags "random,fully-random,persistent" if need be; or a map
---
---Example: `srcnat { "out", oif = "eth0", fw.snat("192.0.2.1") }`
---@param to string|string[]|moonlatch.map
---@param ports? number|string
---@param flags? string
---@return moonlatch.item
function fw.snat(to, ports, flags) end

---an item: gives packets another destination; it ends the rule
---
---Takes: as snat; or a map
---
---Example: `dstnat { "web", tcp = 80, fw.dnat({ "192.0.2.80", "2001:db8::80" }, 8080) }`
---@param to string|string[]|moonlatch.map
---@param ports? number|string
---@param flags? string
---@return moonlatch.item
function fw.dnat(to, ports, flags) end

---an item: gives packets the address of the interface that they leave through; it ends the rule
---
---Takes: ports and flags if need be
---
---Example: `srcnat { "out", oif = "eth0", fw.masquerade() }`
---@param ports? number|string
---@param flags? string
---@return moonlatch.item
function fw.masquerade(ports, flags) end

---an item: sends packets to this host itself; it ends the rule
---
---Takes: port or range, and flags, if need be
---
---Example: `dstnat { "web", tcp = 80, fw.redirect(8080) }`
---@param ports? number|string
---@param flags? string
---@return moonlatch.item
function fw.redirect(ports, flags) end

---an item: goes by the packet to one of several chains or verdicts; other packets go on with the next rule
---
---Takes: a table of chains and verdicts by destination port, or by what its field by names
---
---Example: `input { "by port", tcp = true, fw.vmap { [22] = ssh_in, ["80-89"] = accept } }`
---@param chains table
---@return moonlatch.item
function fw.vmap(chains) end

---an item: puts the packet's address into the set, or prolongs its stay
---
---Takes: dynamic set, "src" or "dst", time if need be
---
---Example: `local seen = fw.set "seen" { dynamic = true }; input { "knock", tcp = 7000, fw.add(seen, "src", "30s"), drop }`
---@param set moonlatch.set
---@param by string
---@param time? string
---@return moonlatch.item
function fw.add(set, by, time) end

---an item: lets the connection bypass the rules from now on, in forward chains
---
---Takes: flowtable
---
---Example: `local fast = fw.flowtable "fast" { devices = { "lo" } }; forward { "fast", ct = "established", fw.flow(fast), accept }`
---@param flowtable moonlatch.flowtable
---@return moonlatch.item
function fw.flow(flowtable) end

---an item: answers new connections itself and lets those on that are completed
---
---Takes: a table of options
---
---Example: `input { "web", tcp = 80, ct = { "invalid", "untracked" }, fw.synproxy { mss = 1460, wscale = 7 } }`
---@param options moonlatch.synproxy.options
---@return moonlatch.item
function fw.synproxy(options) end

return fw
