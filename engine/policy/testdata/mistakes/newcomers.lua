-- What those write who know nft, iptables or other languages.
input { "a", tcp = 22, ACCEPT } --! undefined name "ACCEPT": write fw.accept, or local accept = fw.accept first
---
input { "a", tcp = 22, "ACCEPT" } --! rule "a": "ACCEPT" is written accept, without quotes: local accept = fw.accept
---
input { "a", tcp = 22, action = "accept" } --! unknown field "action" in rule "a": a verdict stands among the items, by itself: input { "name", tcp = 22, accept }
---
input { "a", tcp = 22, verdict = accept } --! unknown field "verdict" in rule "a": a verdict stands among the items, by itself: input { "name", tcp = 22, accept }
---
input { "a", tcp = 22, j = "ACCEPT" } --! unknown field "j" in rule "a": a verdict stands among the items, by itself: input { "name", tcp = 22, accept }
---
input { "a", port = 22, accept } --! unknown field "port" in rule "a": write tcp = 22 or udp = 53
---
input { "a", protocol = "tcp", accept } --! unknown field "protocol" in rule "a": write tcp = 22, or proto = "tcp"
---
input { "a", source = "192.0.2.1", accept } --! unknown field "source" in rule "a": write src
---
input { "a", saddr = "192.0.2.1", accept } --! unknown field "saddr" in rule "a": write src
---
input { "a", ["in"] = "eth0", accept } --! unknown field "in" in rule "a": write iif
---
input { "a", iifname = "eth0", accept } --! unknown field "iifname" in rule "a": write iif
---
input { "a", interface = "eth0", accept } --! unknown field "interface" in rule "a": write iif
---
input { "a", state = "established", accept } --! unknown field "state" in rule "a": write ct = { "established", "related" }
---
input { "a", ct = "ESTABLISHED,RELATED", accept } --! rule "a": ct: "ESTABLISHED,RELATED" is not possible: write { "established", "related" }
---
input { "a", ct = "established,related", accept } --! rule "a": ct: "established,related" is not possible: write { "established", "related" }
---
input { "a", tcp = "htp", accept } --! rule "a": tcp: "htp" is no port, range ("6000-6100") or service name that this host's /etc/services knows for tcp (did you mean "http"?)
---
input { "a", src = "2001:db8::/129", accept } --! rule "a": src: "2001:db8::/129" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"): there is no /129
---
input { "a", src = "!192.0.2.1", accept } --! rule "a": src: "!192.0.2.1" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"): the opposite of src is not_src, and that of dst not_dst
---
input { "a", src = "example.org", accept } --! rule "a": src: "example.org" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"): a name is looked up with fw.fact.resolve("example.org")
---
input { "a", src = "any", accept } --! rule "a": src: "any" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"): leave the field out for all
---
input { "a", src = "admins", accept } --! rule "a": src: "admins" is a set: write src = admins, without quotes
---
input { "a", src = "@admins", accept } --! rule "a": src: "@admins" is a set: write src = admins, without quotes
---
input { "a", src = closed, accept } --! rule "a": src: an address is expected, not stream "closed"
---
input { name = "a", tcp = 22, accept } --! a rule starts with its name, and the first item here is accept: write input { "NAME", … }
---
input { "a", icmp = "ping", accept } --! rule "a": icmp: unknown ICMP type "ping": a ping is an "echo-request"
---
input { "a", flags = "SYN", drop } --! rule "a": flags: unknown TCP flag "SYN" (did you mean "syn"?)
---
input { "a", not_admins = true, accept } --! unknown field "not_admins" in rule "a"
---
input { "a", jump = "ssh_in" } --! unknown field "jump" in rule "a": a verdict stands among the items, by itself: input { "name", tcp = 22, accept }
---
input { "a", fw.log("ssh") , accept } --! fw.log is a module, not a function: its functions are fw.log.debug, fw.log.info, fw.log.warn, fw.log.error
---
input { "a", fw.log.info("ssh") , accept } --! rule "a": item 2 is nil: a misspelt name?
---
input { "a", log = "ssh", accept } --! unknown field "log" in rule "a": write fw.syslog "prefix" or a stream among the items
---
local out = fw.chain "out" { hook = "INPUT" } --! chain "out": hook: "INPUT" is not possible (did you mean "input"?): it is one of prerouting, input, forward, output, postrouting, ingress, egress
---
local out = fw.chain "out" { hook = "output", policy = "DROP" } --! chain "out": policy: "DROP" is not possible (did you mean "drop"?): it is one of accept, drop
---
fw.detect "d" { on = closed, over = 10, within = "60s", action = fw.ban } --! detector "d": action: function(hit) … end is expected, and this is a function of the module: it would be called with other arguments
---
fw.on(closed, fw.ban) --! fw.on(stream, function(ev) … end) is expected, and this is a function of the module: it would be called with other arguments
---
fw.on(closed, { port = 22 }, function(ev) end) --! unknown field "port" in the filter of fw.on: write tcp = 22 or udp = 53
---
fw:set "x" { "192.0.2.1" } --! fw.set "name" { "192.0.2.0/24" } is expected: behind fw comes a dot, not a colon
---
fw.log("hello") --! fw.log is a module, not a function: its functions are fw.log.debug, fw.log.info, fw.log.warn, fw.log.error
---
local n = #admins --! set "admins" has no length: write fw.set "admins" { "192.0.2.0/24" }
---
local s = "set " .. admins --! set "admins" is no text: write fw.set "admins" { "192.0.2.0/24" }
---
if admins == "192.0.2.1" then end; input { "x", src = admins .. "", accept } --! set "admins" is no text: write fw.set "admins" { "192.0.2.0/24" }
---
fw.lines("../etc/passwd") --! fw.lines: "../etc/passwd" is not a name inside the policy's folder
---
input { "a", tcp = 22, fw.limit("10/s"), accept } --! unknown name fw.limit: limit is a field of a rule: input { "name", limit = … }
---
input { "a", "-p tcp --dport 22 -j ACCEPT" } --! rule "a": "-p tcp --dport 22 -j ACCEPT" is iptables' language: write fields, such as tcp = 22, and nft's words where there is no field
---
fw.counter "c"; input { "a", counter = "c", accept } --! unknown field "counter" in rule "a": every rule counts; fw.counter makes one that several share, which stands among the items
---
input { "a", tcp = 22, fw.accept() } --! accept cannot be called: it stands among a rule's items as it is: input { "name", tcp = 80, accept }
---
input "a" { tcp = 22, accept } --! input { "name", … } is expected, not "a"
---
input:add { "a", accept } --! chain "input" has no field "add": call it to append a rule: input { "name", tcp = 80, accept }
---
local s = fw.stream "closed" --! stream "closed" is declared twice, first at policy.lua:1
---
fw.detect("d") { on = input, over = 10, within = "60s" } --! detector "d": on: a stream is expected, not chain "input": local closed = fw.stream "closed"
---
input { "a", tcp = 22, masquerade } --! undefined name "masquerade": write fw.masquerade, or local masquerade = fw.masquerade first
---
input { "a", oif = "eth0", nil_or = null, accept } --! undefined name "null": nothing is nil in Lua
---
input { "a", tcp = 22, accept, fallback = True } --! undefined name "True": write true
---
local n = #closed --! stream "closed" has no length: put it among a rule's items, and give it to fw.on or fw.detect
---
fw.every("1h", fw.bans) --! fw.every("10m", function() … end) is expected, and this is a function of the module: it would be called with other arguments
---
fw.watchdog { check = fw.probe.tcp } --! fw.watchdog: check: function() … end is expected, and this is a function of the module: it would be called with other arguments
---
input { "a", not_saddr = "192.0.2.1", accept } --! unknown field "not_saddr" in rule "a": write not_src
---
input { "a", ct = "new, established", accept } --! rule "a": ct: "new, established" is not possible: write { "new", "established" }
---
input { "a", src = "192.0.2.0/33", dst = "any", accept } --! rule "a": src: "192.0.2.0/33" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"): there is no /33 --! rule "a": dst: "any" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"): leave the field out for all
---
input { "a", "DROP" } --! rule "a": "DROP" is written drop, without quotes: local drop = fw.drop
---
fw.set "x" { file = "lists/bda.txt" } --! set "x": file: there is no file lists/bda.txt in the policy's folder (did you mean "lists/bad.txt"?)
---
fw.lines("lists/missing.txt") --! fw.lines: there is no file lists/missing.txt in the policy's folder
---
local s = "bans: " .. closed .. "!" --! stream "closed" is no text: put it among a rule's items, and give it to fw.on or fw.detect
---
input { "a", src = "*", accept }; input { "b", saddr = admins, accept }; input { "c", tcp = "sssh", accept } --! rule "a": src: "*" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"): leave the field out for all --! unknown field "saddr" in rule "b": write src --! rule "c": tcp: "sssh" is no port, range ("6000-6100") or service name that this host's /etc/services knows for tcp (did you mean "ssh"?)
