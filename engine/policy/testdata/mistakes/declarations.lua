fw.chain "a" { hook = "inptu" } --! chain "a": hook: "inptu" is not possible (did you mean "input"?): it is one of prerouting, input, forward, output, postrouting, ingress, egress
fw.chain "b" { hook = "input", polcy = "drop" } --! unknown field "polcy" in chain "b" (did you mean "policy"?)
fw.chain "c" { hook = "input", policy = "reject" } --! chain "c": policy: "reject" is not possible: it is one of accept, drop
fw.chain "d" { policy = "drop" } --! chain "d" has no hook, so the kernel never calls it by itself and its policy means nothing: add hook = …, or leave policy out
fw.chain "e" { hook = "forward", type = "nat" } --! chain "e": a chain of type nat cannot have the hook "forward" here: it is one of prerouting, input, output, postrouting
fw.chain "f" { hook = "input", priority = "flter" } --! chain "f": priority: "flter" is no priority (did you mean "filter"?): write a number, or one of raw, mangle, dstnat, filter, security, srcnat, with an offset if need be: "raw - 10"
fw.chain "g" { hook = "ingress" } --! chain "g": the hook ingress belongs to an interface: add device = "eth0"
fw.chain "h" { hook = "input", device = "eth0" } --! chain "h": only the hooks ingress and egress have a device; to look at an interface in a rule, write iif or oif
fw.chain "i" { family = "arp", type = "nat", hook = "input" } --! chain "i": a chain of family arp cannot be of type nat
fw.chain "j k" {} --! chain name "j k" must start with a letter and hold only letters, digits, _ and -
fw.chain "input" {} --! chain "input" is declared twice, first at policy.lua:1
fw.chain "log" {} --! chain name "log": "log" is a word of nft's language, and nft takes it for nothing else: choose another
fw.chain "lease" {} --! chain name "lease" is used by Moonlatch itself
---
fw.chain { hook = "input" } --! fw.chain "input" { hook = "input" } is expected, not a table
---
fw.chain("a", { hook = "input" }) --! fw.chain "input" { hook = "input" } is expected: argument 2 is one too many
---
input { "a", fw.jump("ssh_in") } --! jump takes the chain itself, not its name: local ssh_in = fw.chain "ssh_in" {}, then jump(ssh_in)
---
input { "a", fw.jump() } --! jump(chain) is expected, not nothing
---
input { "a", fw.jump(input) } --! rule "a": jump to chain "input" is not possible, because that chain has a hook: the kernel calls it
---
fw.set "a" { "192.0.2.1/24", "x" } --! set "a": "192.0.2.1/24" has bits set behind its /24: write "192.0.2.0/24" for the network or "192.0.2.1" for the address --! set "a": "x" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9")
fw.set "b" { "192.0.2.1", 80 } --! set "b": an address is expected, not the number 80
fw.set "c" { 80, "192.0.2.1" } --! set "c": "192.0.2.1" is no port, range ("6000-6100") or service name that this host's /etc/services knows for tcp
fw.set "d" { fiel = "lists/bad.txt" } --! unknown field "fiel" in set "d" (did you mean "file"?)
fw.set "e" { file = "lists/bda.txt" } --! set "e": file: there is no file lists/bda.txt in the policy's folder (did you mean "lists/bad.txt"?)
fw.set "f" { file = "../etc/passwd" } --! set "f": file: "../etc/passwd" is not a name inside the policy's folder
fw.set "g" { "192.0.2.1", keep = true } --! set "g": only a set that packets fill has a timeout, a size and keep: add dynamic = true
fw.set "kept" { dynamic = true, keep = 1 } --! set "kept": keep: true is expected, not the number 1
fw.set "kepd" { dynamic = true, kepp = true } --! unknown field "kepp" in set "kepd" (did you mean "keep"?)
fw.set "large" { dynamic = true, size = 300000, keep = true } --! set "large": a set that is kept has room for 262144 addresses at most, and its size is 300000
fw.set "h" --! set "h" is named but never filled: write fw.set "h" { "192.0.2.0/24" }
fw.set "admins" { "192.0.2.1" } --! set "admins" is declared twice, first at policy.lua:1
fw.set "ip" {} --! set name "ip": "ip6" is a word of nft's language, and nft takes it for nothing else: choose another
fw.set "admins4" {} --! set name "admins4" is what the kernel calls a half of the set "admins": choose another
---
fw.set "i" { admins.x } --! set "admins" has no field "x": write fw.set "admins" { "192.0.2.0/24" }
---
fw.set "list" { file = "lists/bad.txt" }
--! @lists/bad.txt:2: "192.0.2.1/24" has bits set behind its /24: write "192.0.2.0/24" for the network or "192.0.2.1" for the address
--! @lists/bad.txt:4: "nonsense" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9")
---
fw.stream "a" { rate = 5000 } --! stream "a": rate: 5000 has no unit of time: write "5000/s"
fw.stream "b" { rate = "10/s per src" } --! stream "b": rate: "10/s per src": the rate of a stream is for all its packets, not per src
fw.stream "c" { snaplen = 0 } --! stream "c": snaplen: a whole number from 1 to 1024 is expected, not the number 0
fw.stream "d" { snapln = 10 } --! unknown field "snapln" in stream "d" (did you mean "snaplen"?)
fw.stream "e" { "x" } --! stream "e": its table holds only name = value, and item 1 is "x"
fw.stream "closed" --! stream "closed" is declared twice, first at policy.lua:1
---
fw.detect "a" { on = closed, over = 10 } --! detector "a": within is missing: write fw.detect "a" { on = closed, over = 10, within = "60s" }
fw.detect "b" { on = "closed", over = 10, within = "60s" } --! detector "b": on: a stream is expected, not "closed": local closed = fw.stream "closed"
fw.detect "c" { on = closed, over = 10, within = 60 } --! detector "c": within: 60 has no unit: write "60s" for seconds
fw.detect "d" { on = closed, over = 10, within = "60s", count = "distinct sport" } --! detector "d": count: "distinct sport" is not available (did you mean "distinct dport"?): it is one of "events", "bytes", "distinct dport", "distinct dst", "distinct src"
fw.detect "e" { on = closed, over = 10, within = "60s", per = "sport" } --! detector "e": per: "sport": must be "src", "dst", { "src", "dport" } or { "src", "dst" }, and "src/24" or "src/48" may stand for "src"
fw.detect "f" { on = closed, over = 0.5, within = "60s" } --! detector "f": over: a whole number from 0 to 1099511627776 is expected, not the number 0.5
fw.detect "g" { on = closed, over = 10, within = "0s" } --! detector "g": within: "0s" is no time at all: it must be longer than 0
fw.detect "h" { on = closed, over = 10, within = "60s", ban = { "1h", 24 } } --! detector "h": ban: 24 has no unit: write "24s" for seconds
fw.detect "i" { on = closed, over = 10, within = "60s", ban = {} } --! detector "i": ban: the list of times is empty
fw.detect "j" { on = closed, over = 10, within = "1 minute" } --! detector "j": within: "1 minute" is no time: write for example "60s", "10m", "12h" or "7d"
fw.detect "k" { on = closed, over = 10, within = "60s", action = fw.ban("192.0.2.1", "1h") } --! fw.ban works in handlers only: while the policy is read, nothing is in force yet
---
fw.detect "a" { on = closed, over = 10, within = "60s", track = 100000000 } --! detector "a": track: a whole number from 1 to 67108864 is expected, not the number 100000000
fw.detect "b" { on = closed, over = 4096, within = "60s", track = 60000 } --! detector "b": track = 60000: must be at most 1632 with count = "events" and over = 4096, to fit into 64 MiB
fw.detect "c" { on = closed, over = 10, within = "60d" } --! detector "c": within: "60d" is too long: at most 720h0m0s
fw.detect "d" { on = closed, over = 10, within = "60s", shadow = "yes" } --! detector "d": shadow: true or false is expected, not "yes"
fw.detect "e" { on = closed, over = 10, within = "60s", action = "ban" } --! detector "e": action: function(hit) … end is expected, not "ban"
fw.detect "f" { on = closed, over = 10, within = "60s", except = "x" } --! detector "f": except: "x" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9")
fw.detect "g" { on = closed, over = 10, within = "60s" }
fw.detect "g" { on = closed, over = 11, within = "60s" } --! detector "g" is declared twice, first at policy.lua:8
fw.detect "h" --! detector "h" is named but never filled: write fw.detect "h" { on = closed, over = 10, within = "60s" }
fw.detect "i" { on = {}, over = 10, within = "60s" } --! detector "i": on: the list is empty: a detector counts the events of a stream
fw.detect "j" { on = closed, over = 10, within = "60s", per = { "src", 24 } } --! detector "j": per: a text is expected, not the number 24
fw.detect "k" { on = closed, over = 10, within = "60s", per = "src/7" } --! detector "k": per: "src/7": "7" is no prefix length from 8 to 32 for IPv4, or from 33 to 128 for IPv6
fw.detect "l" { on = closed, over = 5000, within = "60s", count = "distinct dport" } --! detector "l": over = 5000: must be from 0 to 4096 with count = "distinct dport"
fw.detect "m" { on = closed, over = 10, within = "60s", count = "distinct src" } --! detector "m": count = "distinct src": is always 1 with per = "src"; use per = "dst", or a shorter prefix such as "src/24"
fw.detect "n" { on = closed, over = 10, within = "60s", per = "dst", ban = "1h" } --! detector "n": ban is not possible, since per = "dst" names no source to ban: use action = function(hit) … end
fw.detect "o" { on = closed, over = 10, within = "60s", count = "distinct src", per = "dst", shadow = true } --! detector "o": shadow is not possible, since count = "distinct src" names no source to ban: use action = function(hit) … end
fw.detect "p" { on = closed, over = 10, within = "60s", count = "distinct src", per = "src/24", ban = "1h" } --! detector "p": ban is not possible, since count = "distinct src" names no source to ban: use action = function(hit) … end
---
fw.on(closed, { tpc = 3389 }, function(ev) end) --! unknown field "tpc" in the filter of fw.on (did you mean "tcp"?)
fw.on(closed, { ct = "new" }, function(ev) end) --! the filter of fw.on: a logged packet does not tell its ct, so a filter cannot ask for it
fw.on(closed, { fields = { "sorce" } }, function(ev) end) --! the filter of fw.on: fields: an event has no field "sorce" (did you mean "src"?)
fw.on(closed, { feilds = { "src" } }, function(ev) end) --! unknown field "feilds" in the filter of fw.on (did you mean "fields"?)
fw.on(closed, { fields = {} }, function(ev) end) --! the filter of fw.on: fields: the list is empty
fw.on(closed, { "tcp" }, function(ev) end) --! the filter of fw.on: its table holds only name = value, and item 1 is "tcp"
fw.every(60, function() end) --! fw.every: 60 has no unit: write "60s" for seconds
fw.after("soon", function() end) --! fw.after: "soon" is no time: write for example "60s", "10m", "12h" or "7d"
fw.every("-5s", function() end) --! fw.every: "-5s" is no time: write for example "60s", "10m", "12h" or "7d"
fw.protect { "192.0.2.1/24" } --! fw.protect: "192.0.2.1/24" has bits set behind its /24: write "192.0.2.0/24" for the network or "192.0.2.1" for the address
fw.protect { web } --! fw.protect: set "web" holds ports, and addresses are expected
fw.watchdog { confirm = 60 } --! fw.watchdog: confirm: 60 has no unit: write "60s" for seconds
fw.watchdog { fallback = "opne" } --! fw.watchdog is called twice, and a policy has one watchdog --! fw.watchdog: fallback: "opne" is not possible (did you mean "open"?): it is one of previous, open
---
fw.watchdog { confirm = "999ms" } --! fw.watchdog: confirm: a trial of 999ms is not possible: between 1s and 24h0m0s
---
fw.watchdog { confirm = "2d" } --! fw.watchdog: confirm: a trial of 48h0m0s is not possible: between 1s and 24h0m0s
---
fw.watchdog { lease = "0s" } --! fw.watchdog: lease: "0s" is no time at all: it must be longer than 0
---
fw.watchdog { lease = "-30s" } --! fw.watchdog: lease: "-30s" is no time: write for example "60s", "10m", "12h" or "7d"
---
fw.watchdog { lease = 30 } --! fw.watchdog: lease: 30 has no unit: write "30s" for seconds
---
fw.watchdog { lease = "4s" } --! fw.watchdog: lease: a liveness lease of 4s is not possible: between 5s and 1h0m0s
---
fw.watchdog { lease = "100y" } --! fw.watchdog: lease: a liveness lease of 876000h0m0s is not possible: between 5s and 1h0m0s
---
fw.watchdog { lease = "99999y" } --! fw.watchdog: lease: "99999y" is no time: write for example "60s", "10m", "12h" or "7d"
---
fw.watchdog { lease = true } --! fw.watchdog: lease: a time such as "60s" is expected, not true
---
fw.watchdog { leash = "30s" } --! unknown field "leash" in fw.watchdog (did you mean "lease"?)
---
fw.watchdog {
  lease = "30s",
  check = fw.probe.tcp("192.0.2.1:443"), --! fw.probe.tcp waits, and so works in the check of fw.watchdog only: fw.watchdog { check = function() return fw.probe.tcp("192.0.2.1:443") end }
}
---
fw.watchdog {
  lease = "30s",
  check = true, --! fw.watchdog: check: function() … end is expected, not true
  drift = "haul", --! fw.watchdog: drift: "haul" is not possible (did you mean "heal"?): it is one of heal, report
}
---
fw.watchdog { drift = true } --! fw.watchdog: drift: true is not possible: it is one of heal, report
---
fw.watchdog { lease = "30s", check = function() return fw.probe.tpc("192.0.2.1:443") end } --! unknown name fw.probe.tpc (did you mean "tcp"?)
fw.every("1m", function() fw.prob.tcp("192.0.2.1:443") end) --! unknown name fw.prob (did you mean "probe"?)
fw.probe.tpc("192.0.2.1:443") --! unknown name fw.probe.tpc (did you mean "tcp"?)
---
fw.on("closed", function(ev) end) --! fw.on(stream, function(ev) … end) is expected, and argument 1 is "closed"
---
fw.on(closed) --! fw.on(stream, function(ev) … end) is expected, and argument 2 is nothing
---
fw.on(closed, { tcp = 80 }) --! fw.on(stream, function(ev) … end) is expected, and argument 3 is nothing
---
fw.every("1m") --! fw.every("10m", function() … end) is expected, and argument 2 is nothing
---
fw.protect() --! fw.protect { "198.51.100.7" } is expected, not nothing
