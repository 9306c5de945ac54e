-- minimal.lua: the least that a host on the internet wants. Only ssh comes in,
-- and whoever tries the other ports one after another is locked out for a while.
-- web.lua shows and explains more.

local fw = require "moonlatch"
local accept, drop = fw.accept, fw.drop

-- Never banned, whatever happens. Put your own address here.
fw.protect { "192.0.2.0/28", "2001:db8::/48" }

local closed = fw.stream "closed"      -- packets that are worth a look; see the last rule

-- A rule has a name, what the packet must be, and what becomes of it. The rules
-- are asked from top to bottom. What none of them takes, the chain drops.
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "loopback", iif = "lo",                        accept }
input { "replies",  ct = { "established", "related" }, accept }
input { "icmpv6",   icmp = { "nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-advert" }, accept } -- no IPv6 without
input { "ping",     icmp = "echo-request", limit = "10/s", accept }
input { "ssh",      tcp = 22,                          accept }
input { "closed",   flags = "syn", closed,             drop }    -- a stream among the items: log to it

-- More than 10 different closed ports within a minute is no mistake. The first ban
-- lasts an hour, the next a day, every one after that a week.
fw.detect "portscan" {
  on = closed, count = "distinct dport", over = 10, within = "60s", ban = { "1h", "24h", "7d" },
}
