input { "a", fw.mark("x") } --! fw.mark: "x" is no mark: write a number, or "0x10/0xf0" for some of its bits: write for example fw.mark(1)
---
input { "a", fw.mark() } --! fw.mark: a mark is expected, not nil: write for example fw.mark(1)
---
input { "a", fw.ctmark("0x10/0x0f") } --! fw.ctmark: "0x10/0x0f": the mark has bits that are not in the mask behind the /: write for example fw.ctmark(1)
---
input { "a", fw.dscp("cs9") } --! fw.dscp: "cs9" is no DSCP: write a number from 0 to 63, or a class: cs0 to cs7, af11 to af43, ef, va, le: write for example fw.dscp("cs1")
---
input { "a", fw.dscp("1-3") } --! fw.dscp: "1-3" is more than one value: write for example fw.dscp("cs1")
---
input { "a", fw.notrack } --! rule "a": item 2 is a function: call it, as in fw.trap "24h" or fw.jump(chain)
---
input { "a", fw.notrack(1) } --! fw.notrack() is expected: argument 1 is one too many
---
input { "a", fw.mss("mtu") } --! fw.mss: "mtu" is no whole number from 0 to 65535, no range ("1-9") and no comparison ("< 9", ">= 9"): write for example fw.mss("rt mtu")
---
input { "a", fw.mss(10) } --! fw.mss: the number 10 is no segment size: "rt mtu", or 268 bytes and more: write for example fw.mss("rt mtu")
---
input { "a", fw.queue("x") } --! fw.queue: "x" is no whole number from 0 to 65535, no range ("1-9") and no comparison ("< 9", ">= 9"): write for example fw.queue("1-3", "bypass")
---
input { "a", fw.queue(1, "bypas") } --! fw.queue: "bypas" is not possible (did you mean "bypass"?): it is one of bypass, fanout: write for example fw.queue("1-3", "bypass")
---
input { "a", fw.dup("eth 0") } --! fw.dup: "eth 0" is no interface name: write for example fw.dup("lo")
---
input { "a", fw.tproxy("127.0.0.1") } --! fw.tproxy: a port is expected, not nil: write for example fw.tproxy("127.0.0.1", 50080)
---
input { "a", fw.tproxy("1-3") } --! fw.tproxy: "1-3" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"): write for example fw.tproxy("127.0.0.1", 50080)
---
input { "a", fw.synproxy { mss = 5, wscale = 15, sack = "yes", scale = 7 } } --! fw.synproxy: mss: the number 5 is no segment size: it is 268 bytes and more --! fw.synproxy: sack: true or false is expected, not "yes" --! fw.synproxy: wscale: "15" is no whole number from 0 to 14, no range ("1-9") and no comparison ("< 9", ">= 9") --! unknown field "scale" in fw.synproxy (did you mean "wscale"?)
---
local dst = fw.chain "dst_nat" { hook = "prerouting", type = "nat" }
dst { "a", fw.dnat() } --! fw.dnat: an address is expected, not nil: write for example fw.dnat({ "192.0.2.80", "2001:db8::80" }, 8080)
---
local dst = fw.chain "dst_nat" { hook = "prerouting", type = "nat" }
dst { "a", fw.dnat("192.0.2.1:80") } --! fw.dnat: "192.0.2.1:80" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"): write for example fw.dnat({ "192.0.2.80", "2001:db8::80" }, 8080)
---
local dst = fw.chain "dst_nat" { hook = "prerouting", type = "nat" }
dst { "a", fw.dnat({ "192.0.2.1", "192.0.2.2" }) } --! fw.dnat: "192.0.2.2" is a second target of its address family: a packet can go to one only: write for example fw.dnat({ "192.0.2.80", "2001:db8::80" }, 8080)
---
local dst = fw.chain "dst_nat" { hook = "prerouting", type = "nat" }
dst { "a", fw.dnat("192.0.2.1", 0) } --! fw.dnat: port 0 cannot be a target: write for example fw.dnat({ "192.0.2.80", "2001:db8::80" }, 8080)
---
local dst = fw.chain "dst_nat" { hook = "prerouting", type = "nat" }
dst { "a", fw.dnat("192.0.2.1", 80, "rnd") } --! fw.dnat: "rnd" is not possible: it is one of random, fully-random, persistent: write for example fw.dnat({ "192.0.2.80", "2001:db8::80" }, 8080)
---
local dst = fw.chain "dst_nat" { hook = "prerouting", type = "nat" }
local src = fw.chain "src_nat" { hook = "postrouting", type = "nat" }
dst { "port", fw.dnat("192.0.2.1", 80) } --! rule "port": fw.dnat with a port needs a protocol that has ports: add tcp = true or udp = true, or the ports themselves
dst { "behind", tcp = 80, fw.dnat("192.0.2.1"), accept } --! rule "behind" goes on after fw.dnat, which ends it: put it last
dst { "wrong hook", fw.masquerade() } --! rule "wrong hook": fw.masquerade works only in a chain of type "nat" with hook postrouting, and chain "dst_nat" is of type "nat" with hook "prerouting"
src { "wrong hook", tcp = 80, fw.redirect(8080) } --! rule "wrong hook": fw.redirect works only in a chain of type "nat" with hook prerouting or output, and chain "src_nat" is of type "nat" with hook "postrouting"
input { "wrong type", fw.snat("192.0.2.1") } --! rule "wrong type": fw.snat works only in a chain of type "nat" with hook postrouting or input, and chain "input" is of type "filter" with hook "input"
dst { "families", src = "2001:db8::1", tcp = 80, fw.dnat("192.0.2.1") } --! rule "families" can never match: its fields ask for IPv4 and IPv6 at once
