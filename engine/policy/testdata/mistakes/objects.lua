fw.map "empty" {} --! map "empty" is empty: write fw.map "empty" { [80] = "192.0.2.80" }, and give it to fw.dnat, fw.snat, fw.mark or fw.ctmark
fw.map "a" { [80] = "x" } --! map "a": the number 80: an address, { address, port } or a mark is expected, not "x"
fw.map "b" { [80] = "192.0.2.0/24" } --! map "b": the number 80: "192.0.2.0/24" is more than one address
fw.map "c" { [80] = 1, [81] = "192.0.2.1" } --! map "c": the number 81: it gives addresses here and marks before: a map gives one kind of thing
fw.map "d" { [80] = { "192.0.2.1" } } --! map "d": the number 80: an address and its port are expected: { "192.0.2.80", 8080 }
fw.map "e" { [80] = { "192.0.2.1", 80, 81 } } --! map "e": the number 80: an address and its port are expected: { "192.0.2.80", 8080 }
fw.map "f" { [80] = { 1, 80 } } --! map "f": the number 80: the number 1 is no address
fw.map "g" { [80] = { "192.0.2.1", "80-90" } } --! map "g": the number 80: "80-90" is more than one port
fw.map "h" { by = "srce", ["192.0.2.1"] = 1 } --! map "h": by: "srce" is not possible (did you mean "src"?): it is one of src, dst, sport, dport, iif, oif, mark, proto, mac
fw.map "i" { by = "src", [80] = 1 } --! map "i": the number 80: an address is expected, not the number 80
fw.map "j" { by = "iif", ["eth 0"] = 1 } --! map "j": "eth 0": "eth 0" is no name of an interface
fw.map "k" { by = "mac", ["00:00"] = 1 } --! map "k": "00:00": "00:00" is no Ethernet address, such as "00:00:5e:00:53:01"
fw.map "l" { [70000] = 1 } --! map "l": the number 70000: 70000 is no port: ports are whole numbers from 0 to 65535
fw.map "m" { http = "192.0.2.1", nosuchservice = "192.0.2.1" } --! map "m": "nosuchservice": "nosuchservice" is no port, range ("6000-6100") or service name that this host's /etc/services knows for tcp
input { "a", tcp = true, fw.vmap { [80] = 5 } } --! fw.vmap: the number 80: a chain or a verdict (accept, drop, continue, return_, fw.jump, fw.goto_) is expected, not the number 5
input { "b", tcp = true, fw.vmap { [80] = reject } } --! fw.vmap: the number 80: a chain or a verdict (accept, drop, continue, return_, fw.jump, fw.goto_) is expected, not reject
input { "c", tcp = true, fw.vmap {} } --! fw.vmap is empty: write for example fw.vmap { [80] = web, [22] = ssh_in }
fw.set "n" { timeout = "1h" } --! set "n": only a set that packets fill has a timeout, a size and keep: add dynamic = true
fw.set "o" { dynamic = true, "192.0.2.1" } --! set "o": packets fill it, so nothing else can
fw.set "p" { dynamic = false } --! set "p": dynamic: true is expected, not false
fw.set "q" { dynamic = true, size = 0 } --! set "q": size: a whole number from 1 to 4194304 is expected, not the number 0
fw.set "r" { of = { "src" }, { "192.0.2.1" } } --! set "r": of: two parts or more are expected; a set of addresses or ports needs no of
fw.set "s" { of = { "src", "src" }, { "192.0.2.1", "192.0.2.2" } } --! set "s": of: src stands twice
fw.set "t" { of = { "src", "dprt" }, { "192.0.2.1", 22 } } --! set "t": of: "dprt" is not possible (did you mean "dport"?): it is one of src, dst, sport, dport, iif, oif, mark, proto, mac
fw.set "u" { of = { "src", "dport" }, { "192.0.2.1" } } --! set "u": a list of 2 values is expected: { src, dport }
fw.set "v" { of = { "src", "dst" }, { "192.0.2.1", "2001:db8::1" } } --! set "v": it mixes the address families
fw.set "w" { of = { "src", "dport" }, { "192.0.2.1", "x y" } } --! set "w": "x y" is no port, range ("6000-6100") or service name
fw.set "x" { of = { "src", "dport" }, file = "lists/bad.txt" } --! set "x": a set of several parts cannot come from a file
input { "d", set = admins, accept } --! rule "d": set: set "admins" holds addresses, and items of several parts are expected
input { "e", set = "pairs", accept } --! rule "e": set: a set of several parts is expected, fw.set "pairs" { of = { "src", "dport" }, … }, not "pairs"
fw.helper "h1" { type = "ftpp" } --! helper "h1": type: "ftpp" is not possible (did you mean "ftp"?): it is one of ftp, tftp, sip, irc, Q.931, RAS, pptp, snmp, snmp_trap, amanda, sane, netbios-ns
fw.helper "h2" { protocol = "sctp" } --! helper "h2": protocol: "sctp" is not possible (did you mean "tcp"?): it is one of tcp, udp
fw.flowtable "f1" {} --! flowtable "f1" has no devices: write fw.flowtable "fast" { devices = { "eth0", "eth1" } }
fw.flowtable "f2" { devices = "eth*" } --! flowtable "f2": devices: "eth*" is no name of an interface
fw.flowtable "f3" { devices = "lo", offload = 1 } --! flowtable "f3": offload: true or false is expected, not the number 1
---
local m = fw.map "ports" { [80] = "192.0.2.80" }
local d = fw.chain "dst_nat" { hook = "prerouting", type = "nat" }
input { "type", tcp = true, fw.dnat(m) } --! rule "type": fw.dnat works only in a chain of type "nat" with hook prerouting or output, and chain "input" is of type "filter" with hook "input"
d { "proto", fw.dnat(m) } --! rule "proto": map "ports" looks at the dport of which protocol? Add one, for example tcp = true
d { "last", tcp = true, fw.dnat(m), accept } --! rule "last" goes on after fw.dnat, which ends it: put it last
input { "key", fw.vmap { [80] = accept } } --! rule "key": fw.vmap looks at the dport of which protocol? Add one, for example tcp = true
input { "not last", tcp = true, fw.vmap { [80] = accept }, drop } --! rule "not last" goes on after fw.vmap: put it last, and what is to become of the other packets into the next rule
input { "to base", tcp = true, fw.vmap { [80] = input } } --! rule "to base": jump to chain "input" is not possible, because that chain has a hook: the kernel calls it
local frames = fw.chain "frames" { family = "bridge", hook = "forward" }
local c = fw.counter "c"
frames { "inet only", c, drop } --! rule "inet only": counter "c" is there for inet chains only, and "frames" is a bridge chain
fw.nft [[
	set ok { type mark; }
	chain bad { type filter hook input priority 0; policy drop; }
]]
--! @policy.lua:15: fw.nft: a chain with a hook would outlive its trial: declare it with fw.chain "name" { hook = "input" } and write its rules there, as nft text if need be
fw.nft "} table inet other {" --! fw.nft: braces and quotes must come in pairs
fw.set "twice" { of = { "src", "dport" }, { "192.0.2.1", 22 } } --! set name "twice": the kernel would call it "twice4", as it calls what is declared at policy.lua:20: choose another
fw.map "twice" { by = "src", ["192.0.2.1"] = 1 }
---
input { "a", fw.mark(fw.map "x" { [80] = "192.0.2.80" }) } --! fw.mark: map "x" gives addresses, and marks are expected
---
local m = fw.map "x"
input { "a", fw.mark(m) } --! fw.mark: map "x" has no content yet: write fw.map "x" { [80] = "192.0.2.80" }, and give it to fw.dnat, fw.snat, fw.mark or fw.ctmark
---
input { "a", fw.add(admins, "src") } --! set "admins" is not filled by packets: declare it so, fw.set "admins" { dynamic = true, timeout = "1h" }
---
local seen = fw.set "seen" { dynamic = true }
input { "a", fw.add(seen, "source") } --! fw.add: "source" is not possible (did you mean "src"?): it is one of src, dst
---
local seen = fw.set "seen" { dynamic = true }
input { "a", fw.add(seen, "src", 5) } --! fw.add: 5 has no unit: write "5s" for seconds
---
local seen = fw.set "seen" { dynamic = true }
fw.protect { seen } --! fw.protect: set "seen" is filled by packets, so only the kernel knows what it holds: ask for it in a rule
---
local seen = fw.set "seen" { dynamic = true }
fw.on(closed, { src = seen }, function() end) --! the filter of fw.on: set "seen" is filled by packets, so only the kernel knows what it holds: ask for it in a rule
---
fw.quota "q" "5" --! quota "q": "5" is no amount: write for example "10 mbytes" or "over 2 gbytes" (bytes, kbytes, mbytes, gbytes, tbytes)
---
fw.quota "q" --! quota "q" is named but never filled: write fw.quota "name" "10 mbytes"
---
input { "a", fw.flow(fw.flowtable "f") } --! fw.flow(flowtable) is expected, not flowtable "f"
---
fw.counter "c" {} --! counter "c" is configured already: write fw.counter "name"
