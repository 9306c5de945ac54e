input { "a", tcp = 70000, accept } --! rule "a": tcp: 70000 is no port: ports are whole numbers from 0 to 65535
input { "b", tcp = 22.5, accept } --! rule "b": tcp: 22.5 is no port: ports are whole numbers from 0 to 65535
input { "c", tcp = -1, accept } --! rule "c": tcp: -1 is no port: ports are whole numbers from 0 to 65535
input { "d", tcp = "80,443", accept } --! rule "d": tcp: "80,443" is no port: write { 80, 443 } for a list and "6000-6100" for a range
input { "e", tcp = "6000:6100", accept } --! rule "e": tcp: "6000:6100" is no port: write { 80, 443 } for a list and "6000-6100" for a range
input { "f", tcp = "6100-6000", accept } --! rule "f": tcp: the range "6100-6000" ends before it starts: write "6000-6100"
input { "g", tcp = "1-70000", accept } --! rule "g": tcp: 70000 is no port: ports are whole numbers from 0 to 65535
input { "h", tcp = admins, accept } --! rule "h": tcp: set "admins" holds addresses, and ports are expected
input { "i", tcp = {}, accept } --! rule "i": tcp: the list is empty, so nothing could match
input { "j", tcp = false, accept } --! rule "j": tcp: false is not possible here: for every other protocol, write not_proto = "tcp"
input { "k", not_udp = true, accept } --! rule "k": not_udp: true is not possible here: for every other protocol, write not_proto = "udp"
input { "l", tcp = { port = 80 }, accept } --! rule "l": tcp: a list is expected here, and this table has a field "port"
input { "m", tcp = 53, udp = 53, accept } --! rule "m": udp: no packet is of tcp and udp at once: write two rules or, for the same ports of both, proto = { "tcp", "udp" }, dport = …
input { "n", sport = 53, accept } --! rule "n": sport: a port of which protocol? Add one, for example udp = true, or proto = { "tcp", "udp" }
input { "o", proto = "icmp", dport = 53, accept } --! rule "o": dport: the protocol icmp has no ports
input { "p", tcp = 53, dport = 54, accept } --! rule "p": dport: the ports of tcp are written tcp = …; dport stands beside proto
---
input { "a", src = "192.0.2.300", drop } --! rule "a": src: "192.0.2.300" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9")
input { "b", src = "192.0.2.1/33", drop } --! rule "b": src: "192.0.2.1/33" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"): there is no /33
input { "c", src = "2001:db8::1/64", drop } --! rule "c": src: "2001:db8::1/64" has bits set behind its /64: write "2001:db8::/64" for the network or "2001:db8::1" for the address
input { "d", src = "example.com", drop } --! rule "d": src: "example.com" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"): a name is looked up with fw.fact.resolve("example.com")
input { "e", src = "192.0.2.9-192.0.2.1", drop } --! rule "e": src: the range "192.0.2.9-192.0.2.1" ends before it starts: write "192.0.2.1-192.0.2.9"
input { "f", src = "192.0.2.9-2001:db8::1", drop } --! rule "f": src: the range "192.0.2.9-2001:db8::1" starts in one address family and ends in the other
input { "g", src = "fe80::1%eth0", drop } --! rule "g": src: "fe80::1%eth0" names an interface, which is no part of an address: write "fe80::1", and iif or oif for the interface
input { "h", src = 3232235521, drop } --! rule "h": src: an address is expected, not the number 3232235521
input { "i", src = web, drop } --! rule "i": src: set "web" holds ports, and addresses are expected
input { "j", src = true, drop } --! rule "j": src: an address is expected, not true
input { "k", src = {}, drop } --! rule "k": src: the list is empty, so nothing could match: for a list that may be empty, use fw.set
input { "l", src = fw.set "later", drop } --! rule "l": src: set "later" has no content yet: write fw.set "later" { "192.0.2.0/24" } --! set "later" is named but never filled: write fw.set "later" { "192.0.2.0/24" }
input { "m", src = "192.0.2.1", dst = "2001:db8::1", drop } --! rule "m" can never match: its fields ask for IPv4 and IPv6 at once
---
input { "a", proto = "tpc", accept } --! rule "a": proto: unknown protocol "tpc" (did you mean "tcp"?)
input { "b", proto = 256, accept } --! rule "b": proto: 256 is no protocol: they are whole numbers from 0 to 255
input { "c", icmp = "echo-requst", accept } --! rule "c": icmp: unknown ICMP type "echo-requst" (did you mean "echo-request"?)
input { "d", icmp = 8, accept } --! rule "d": icmp: 8 means one thing in ICMP and another in ICMPv6: write the type's name, or nft text such as "icmp type 8"
input { "e", ct = "establisched", accept } --! rule "e": ct: "establisched" is not possible (did you mean "established"?): it is one of new, established, related, invalid, untracked
input { "f", iif = "", accept } --! rule "f": iif: a text is expected, not ""
input { "g", iif = "et*h", accept } --! rule "g": iif: "et*h": a * stands only at the end, behind at least one letter
input { "h", iif = "*", accept } --! rule "h": iif: "*": a * stands only at the end, behind at least one letter
input { "i", iif = "a-very-long-interface", accept } --! rule "i": "a-very-long-interface" is no interface name: 1 to 15 bytes without blanks, quotes or slashes
input { "j", flags = "sny", drop } --! rule "j": flags: unknown TCP flag "sny" (did you mean "syn"?)
input { "k", flags = "syn/ack", drop } --! rule "k": flags: "syn/ack" can never match: "syn" is set but not among the flags looked at, behind the /
input { "l", flags = { "syn" }, drop } --! rule "l": flags: flags such as "syn" are expected, not a table
---
input { "a", limit = 10, accept } --! rule "a": limit: 10 has no unit of time: write "10/s"
input { "b", limit = "10", accept } --! rule "b": limit: "10" has no unit of time: write "10/s"
input { "c", limit = "10/x", accept } --! rule "c": limit: "10/x": unknown unit of time "x": it is s, min, h or d
input { "d", limit = "fast", accept } --! rule "d": limit: "fast" is no rate: write for example "10/s", "100/min burst 20" or "200/s per src"
input { "e", limit = "10/s per dst", accept } --! rule "e": limit: "10/s per dst": a limit is per src or for all packets together, not per "dst"
input { "f", limit = "10/s burst", accept } --! rule "f": limit: "10/s burst" is no rate: write for example "10/s", "100/min burst 20" or "200/s per src"
input { "g", limit = "0/s", accept } --! rule "g": limit: "0/s": "0" is no number of packets from 1 to 4294967295
input { "h", limit = "10/s per src/200", accept } --! rule "h": limit: "10/s per src/200": "200" is no length of a prefix from 1 to 128
input { "i", limit = "10/s burst 5 burst 6", accept } --! rule "i": limit: "10/s burst 5 burst 6" is no rate: write for example "10/s", "100/min burst 20" or "200/s per src"
input { "j", over = "", accept } --! rule "j": over: "" is no rate: write for example "10/s", "100/min burst 20" or "200/s per src"
---
local loop = {}
loop[1] = loop
input { "loop", tcp = loop, accept } --! rule "loop": tcp: lists are nested deeper than 16
