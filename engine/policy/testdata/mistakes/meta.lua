input { "a", mark = "x", accept } --! rule "a": mark: "x" is no whole number from 0 to 4294967295, no range ("1-9") and no comparison ("< 9", ">= 9")
input { "b", mark = 4294967296, accept } --! rule "b": mark: "4294967296" is no whole number from 0 to 4294967295, no range ("1-9") and no comparison ("< 9", ">= 9")
input { "c", mark = "0x10/0x0f", accept } --! rule "c": mark: "0x10/0x0f": the mark has bits that are not in the mask behind the /
input { "d", mark = "1/0", accept } --! rule "d": mark: "1/0" is no mark: write a number, or "0x10/0xf0" for some of its bits
input { "e", mark = {}, accept } --! rule "e": mark: the list is empty, so nothing could match
input { "f", uid = "nobody-knows-me", accept } --! rule "f": uid: this host knows no user "nobody-knows-me"
input { "g", gid = "nobody-knows-me", accept } --! rule "g": gid: this host knows no group "nobody-knows-me"
input { "h", dscp = "ef0", accept } --! rule "h": dscp: "ef0" is no DSCP: write a number from 0 to 63, or a class: cs0 to cs7, af11 to af43, ef, va, le
input { "i", dscp = 64, accept } --! rule "i": dscp: "64" is no whole number from 0 to 63, no range ("1-9") and no comparison ("< 9", ">= 9")
input { "j", ttl = "< 0", drop } --! rule "j": ttl: "< 0" can never hold
input { "k", ttl = "<= 255", drop } --! rule "k": ttl: "<= 255" always holds: leave it out
input { "l", ttl = "64-5", drop } --! rule "l": ttl: the range "64-5" ends before it starts: write "5-64"
input { "m", length = -1, drop } --! rule "m": length: "-1" is no whole number from 0 to 65535, no range ("1-9") and no comparison ("< 9", ">= 9")
input { "n", length = 1.5, drop } --! rule "n": length: "1.5" is no whole number from 0 to 65535, no range ("1-9") and no comparison ("< 9", ">= 9")
input { "o", mac = "00:00:5e:00:53", drop } --! rule "o": mac: "00:00:5e:00:53" is no Ethernet address, such as "00:00:5e:00:53:01"
input { "p", mac = 5, drop } --! rule "p": mac: a text is expected, not the number 5
input { "q", pkttype = "brodcast", drop } --! rule "q": pkttype: "brodcast" is not possible (did you mean "broadcast"?): it is one of unicast, broadcast, multicast, other
input { "r", fib = "saddr oif", drop } --! rule "r": fib: "saddr oif" is no look-up in the routing tables: write for example "saddr . iif oif missing" or "daddr type local"
input { "s", fib = "saddr . iff oif missing", drop } --! rule "s": fib: "saddr . iff oif missing" is no look-up in the routing tables: write for example "saddr . iif oif missing" or "daddr type local"
input { "t", fib = "daddr type locl", drop } --! rule "t": fib: "locl" is no type of address (did you mean "local"?): it is one of local, unicast, broadcast, anycast, multicast, blackhole, unreachable, prohibit
input { "u", fib = "saddr ttl missing", drop } --! rule "u": fib: a look-up in the routing tables tells oif, oifname or type, not "ttl"
input { "v", cgroup = "../x", drop } --! rule "v": cgroup: "../x" is no path of a control group: write it as below /sys/fs/cgroup, for example "system.slice/nginx.service"
input { "w", time = "9-17", accept } --! rule "w": time: "9-17" is no time of day: write for example "09:00-17:00" or "22:00-06:00"
input { "x", time = "09:00-09:00", accept } --! rule "x": time: "09:00-09:00" ends when it starts
input { "y", time = { day = "Monn" }, accept } --! rule "y": time: day: "Monn" is no day of the week: write for example "Mon", "Saturday" or "Mon-Fri"
input { "z", time = { date = "2027-01-01 to 2026-01-01" }, accept } --! rule "z": time: date: "2027-01-01 to 2026-01-01" end before they start
---
input { "a", time = { date = "tomorrow" }, accept } --! rule "a": time: date: "tomorrow" are no dates: write for example "2026-12-24 to 2027-01-06" or "2026-12-24 18:00 to 2026-12-25 09:00"
input { "b", time = { hours = "09:00-17:00" }, accept } --! unknown field "hours" in rule "b": time (did you mean "hour"?)
input { "c", not_time = { hour = "09:00-17:00" }, accept } --! rule "c": not_time: a table of times cannot be negated as a whole: negate its fields, as in time = { not_day = "Sun" }
input { "d", time = {}, accept } --! rule "d": time: a time of day such as "09:00-17:00" is expected, or a table: { hour = …, day = …, date = … }
input { "e", ct = { mrk = 1 }, accept } --! unknown field "mrk" in rule "e": ct (did you mean "mark"?)
input { "f", ct = { "established", mark = 1 }, accept } --! rule "f": ct: states and fields cannot be mixed: write ct = { state = { "established" }, mark = 1 }
input { "g", not_ct = { mark = 1 }, accept } --! rule "g": not_ct: a table with fields cannot be negated as a whole: negate its fields, as in ct = { not_status = "dnat" }
input { "h", ct = { status = "natted" }, accept } --! rule "h": ct: status: "natted" is not possible: it is one of expected, seen-reply, assured, confirmed, snat, dnat, dying
input { "i", ct = { direction = "in" }, accept } --! rule "i": ct: direction: "in" is not possible: it is one of original, reply
input { "j", ct = { helper = 5 }, accept } --! rule "j": ct: helper: a text is expected, not the number 5
input { "k", ct = { zone = 65536 }, accept } --! rule "k": ct: zone: "65536" is no whole number from 0 to 65535, no range ("1-9") and no comparison ("< 9", ">= 9")
input { "l", connlimit = 20, accept } --! rule "l": connlimit: a number of connections such as "20 per src" is expected, not the number 20
input { "m", connlimit = "20/s", accept } --! rule "m": connlimit: "20/s" is no number of connections: write for example "20 per src", "over 20 per src" or "500"
input { "n", connlimit = "20 per dst", accept } --! rule "n": connlimit: "20 per dst": a limit is per src or for all packets together, not per "dst"
input { "o", connlimit = "20 per src/200", accept } --! rule "o": connlimit: "20 per src/200": "200" is no length of a prefix from 1 to 128
input { "p", not_connlimit = "20 per src", accept } --! rule "p": connlimit cannot be negated: write connlimit = "over …"
input { "q", quota = "10 mb", accept } --! rule "q": quota: "10 mb" is no amount: write for example "10 mbytes" or "over 2 gbytes" (bytes, kbytes, mbytes, gbytes, tbytes)
input { "r", quota = "0 mbytes", accept } --! rule "r": quota: "0 mbytes" is no amount: write for example "10 mbytes" or "over 2 gbytes" (bytes, kbytes, mbytes, gbytes, tbytes)
input { "s", not_quota = "10 mbytes", accept } --! rule "s": quota cannot be negated: write quota = "over …"
---
input { "t", ct = { state = none }, accept } --! undefined name "none": nothing is nil in Lua
---
fw.on(closed, { pkttype = "broadcast" }, function() end) --! the filter of fw.on: a logged packet does not tell its pkttype, so a filter cannot ask for it
fw.on(closed, { ttl = "x" }, function() end) --! the filter of fw.on: ttl: "x" is no whole number from 0 to 255, no range ("1-9") and no comparison ("< 9", ">= 9")
