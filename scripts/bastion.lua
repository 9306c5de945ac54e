-- bastion.lua: a host that one logs in to, and goes on from. Nothing but ssh comes
-- in; from addresses that are not known, only after the right knocks:
--
--   for p in 7003 9001 8002; do nc -w1 -z bastion $p; done; ssh bastion
--
-- Choose ports of your own. A knock hides ssh from scanners, and is no secret to
-- who watches the line: keys are what keeps others out.

local fw = require "moonlatch"
require "hygiene"
local accept, drop = fw.accept, fw.drop

fw.watchdog { confirm = "60s", fallback = "previous" }

-- The office and the VPN: they need not knock, and are never banned.
local admins = fw.set "admins" { "192.0.2.0/28", "2001:db8::/48" }
fw.protect { admins }

-- The kernel itself remembers who has come how far, and forgets it in time.
local first  = fw.set "first"  { dynamic = true, timeout = "5s" }
local second = fw.set "second" { dynamic = true, timeout = "5s" }
local guests = fw.set "guests" { dynamic = true, timeout = "30s" }   -- time enough to log in; sessions stay

local closed = fw.stream "closed"

local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "loopback",   iif = "lo",                        accept }
input { "replies",    ct = { "established", "related" }, accept }
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-advert", "mld-listener-query" }, accept }
input { "ping",       icmp = "echo-request", limit = "10/s", accept }

input { "ssh admins", tcp = 22, src = admins, accept }
input { "ssh guests", tcp = 22, src = guests, limit = "6/min burst 6 per src", accept }
input { "ssh others", tcp = 22, drop }      -- late, or the sixth time: not worth a ban

-- The last knock stands first, so that no packet counts twice. The ports neither
-- rise nor fall: who scans them in order does not get in.
input { "knock 3", flags = "syn", tcp = 8002, src = second, fw.add(guests, "src"), drop }
input { "knock 2", flags = "syn", tcp = 9001, src = first,  fw.add(second, "src"), drop }
input { "knock 1", flags = "syn", tcp = 7003,               fw.add(first, "src"),  drop }

input { "closed", flags = "syn", closed, drop }

-- Three knocks are no scan; six different ports within a minute are.
fw.detect "portscan" {
  on = closed, count = "distinct dport", over = 5, within = "60s", ban = { "1h", "24h", "7d" },
}
