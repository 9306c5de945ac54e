fw.brake { bans = "100" } --! fw.brake: bans: "100" has no unit of time: write "100/min"
---
fw.brake { bans = 100 } --! fw.brake: bans: 100 has no unit of time: write "100/min"
---
fw.brake { bans = "100/minutes" } --! fw.brake: bans: "100/minutes" is no rate of bans: write for example "100/min", with s, min, h or d
---
fw.brake { bans = "-1/min" } --! fw.brake: bans: "-1/min" is no rate of bans: write for example "100/min", with s, min, h or d
---
fw.brake { bans = "0/min" } --! fw.brake: bans: "0/min": 0 bans is not possible: it is 1 to 1048576, and bans = false is no limit
---
fw.brake { bans = "99999999999999999999/min" } --! fw.brake: bans: "99999999999999999999/min": 99999999999999999999 bans is not possible: it is 1 to 1048576, and bans = false is no limit
---
fw.brake { bans = true } --! fw.brake: bans: a rate such as "100/min" is expected, or false for no limit, not true
---
fw.brake { ban = "100/min" } --! unknown field "ban" in fw.brake (did you mean "bans"?)
fw.brake { most = 10 } --! fw.brake is called twice, first at policy.lua:2, and a policy has one brake
---
fw.brake { "100/min" } --! fw.brake: its table holds only name = value, and item 1 is "100/min"
---
fw.brake "100/min" --! fw.brake { bans = "100/min" } is expected, not "100/min"
---
fw.brake { most = 0 } --! fw.brake: most: a whole number from 1 to 1048576 is expected, not the number 0
---
fw.brake { most = 2e6 } --! fw.brake: most: a whole number from 1 to 1048576 is expected, not the number 2000000
---
fw.brake { share = "10 of 192.0.2.0/24" } --! fw.brake: share: "10 of 192.0.2.0/24" is no share: write "10% of 192.0.2.0/24", or "5% of /16" for each such prefix
---
fw.brake { share = { "10% of 192.0.2.0/24", "120% of /16" } } --! fw.brake: share: "120% of /16": 120% is no share: it is a whole number from 1% to 100%
---
fw.brake { share = "-5% of /16" } --! fw.brake: share: "-5% of /16": -5% is no share: it is a whole number from 1% to 100%
---
fw.brake { share = "10% of 192.0.2.1/24" } --! fw.brake: share: "10% of 192.0.2.1/24": "192.0.2.1/24" has bits set behind its /24: write "192.0.2.0/24"
---
fw.brake { share = "10% of 192.0.2.1" } --! fw.brake: share: "10% of 192.0.2.1": "192.0.2.1" is no prefix: write 192.0.2.0/24, or /24 for each prefix of that length
---
fw.brake { share = "10% of 0.0.0.0/0" } --! fw.brake: share: "10% of 0.0.0.0/0": a share is one of a prefix from /8 to /31, not of a /0
---
fw.brake { share = "10% of /64" } --! fw.brake: share: "10% of /64": a share is one of a prefix from /16 to /63, not of a /64
---
fw.brake { share = "10% of /-4" } --! fw.brake: share: "10% of /-4": "/-4" is no prefix length
---
fw.brake { share = "1% of /28" } --! fw.brake: share: "1% of /28": that is less than one address, so that nobody could be banned: write at least 7%
---
fw.aggregate { ipv6 = "/64" } --! fw.aggregate: ipv6: "/64" is not possible (did you mean "/48"?): it is one of /48, /56
---
fw.aggregate { ipv4 = "/16" } --! fw.aggregate: ipv4: "/16" is no prefix length: write "/20" to "/30"
---
fw.aggregate { ipv4 = 24 } --! fw.aggregate: ipv4: the number 24 is no prefix length: write "/20" to "/30"
---
fw.aggregate { over = 0 } --! fw.aggregate: over: a whole number from 1 to 64 is expected, not the number 0
---
fw.aggregat { over = 1 } --! unknown name fw.aggregat (did you mean "aggregate"?)
---
fw.protect { "0.0.0.0/0" } --! fw.protect: everybody is protected then, and nobody could be banned
---
fw.protect { "::/0" } --! fw.protect: everybody is protected then, and nobody could be banned
---
fw.protect { "admin.example.net", "admin", "192.0.2.256", "example..net" } --! fw.protect: "192.0.2.256" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"), and no full name of a host ("admin.example.net") --! fw.protect: "admin" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"), and no full name of a host ("admin.example.net") --! fw.protect: "example..net" is no address ("192.0.2.1"), prefix ("192.0.2.0/24") or range ("192.0.2.1-192.0.2.9"), and no full name of a host ("admin.example.net")
---
fw.detect "a" { on = closed, over = 10, within = "60s", ban = "-1h" } --! detector "a": ban: "-1h" is no time: write for example "60s", "10m", "12h" or "7d"
---
fw.detect "a" { on = closed, over = 10, within = "60s", ban = { "1h", "11y" } } --! detector "a": ban: a ban lasts ten years ("10y") at most
---
fw.detect "a" { on = closed, over = 10, within = "60s", ban = "99999999999999999999h" } --! detector "a": ban: "99999999999999999999h" is no time: write for example "60s", "10m", "12h" or "7d"
---
fw.detect "a" { on = closed, over = 10, within = "60s", ban = "1h", kill = "yes" } --! detector "a": kill: true or false is expected, not "yes"
---
fw.detect "a" { on = closed, over = 10, within = "60s", ban = "1h", spare = "conected" } --! detector "a": spare: "conected" is not possible (did you mean "connected"?): it is one of connected
---
fw.detect "a" { on = closed, over = 10, within = "60s", kill = true } --! detector "a": kill belongs to a ban: add ban = "1h"
---
fw.detect "a" { on = closed, over = 10, within = "60s", spare = "connected" } --! detector "a": spare belongs to a ban: add ban = "1h"
---
fw.ban("192.0.2.1", "1h") --! fw.ban works in handlers only: while the policy is read, nothing is in force yet
