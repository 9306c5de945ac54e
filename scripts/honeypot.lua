-- honeypot.lua: a host that bait makes useful: whoever touches what is not there
-- gives themselves away, and is held up where that can be done.

local fw = require "moonlatch"
local accept, drop = fw.accept, fw.drop

fw.watchdog { confirm = "60s", fallback = "previous" }

local admins = fw.set "admins" { "192.0.2.0/28", "2001:db8::/48" }
fw.protect { admins }

-- Nobody has any business at these ports.
local worms = fw.set "worms" { 23, 2323, 5555, 7547, 37215 }           -- what worms look for
local bait  = fw.set "bait"  { 3306, 3389, 5900, 6379, 9200, 27017 }   -- what burglars look for
local tar   = fw.set "tar"   { 21, 25, 110, 143, 445 }                 -- where they are kept waiting

local touched = fw.stream "touched" { rate = "1000/s burst 1000" }
local closed  = fw.stream "closed"  { rate = "1000/s burst 1000" }


-- The tarpit ----------------------------------------------------------------------

-- The kernel answers for a service that is not there: a connection seems to be made,
-- with a window of no bytes. The other side can send nothing, waits, and asks again
-- and again whether it may by now. It costs us no memory: what we answer is a cookie.
-- Connection tracking must not see the attempt, and nothing is there to hand it to.
local raw = fw.chain "tar_raw" { hook = "prerouting", priority = "raw", policy = "accept" }
raw { "tar", tcp = tar, not_src = admins, flags = "syn", not_iif = "lo", fw.notrack() }

local output = fw.chain "output" { hook = "output", policy = "accept" }
output { "tar end", tcp = tar, oif = "lo", not_src = { "127.0.0.0/8", "::1" }, drop }


-- What comes in --------------------------------------------------------------------

local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "tarpit",     tcp = tar, not_iif = "lo", not_src = admins, ct = { "invalid", "untracked" }, fw.synproxy { mss = 1460, wscale = 0, timestamp = false, sack = false } }
input { "loopback",   iif = "lo",                        accept }
input { "replies",    ct = { "established", "related" }, accept }
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-advert", "mld-listener-query" }, accept }
input { "ping",       icmp = "echo-request", limit = "20/s", accept }
input { "ssh",        tcp = 22, src = admins, accept }

-- A trap needs no daemon: the kernel drops everything from who steps into it.
input { "worms",      tcp = worms, flags = "syn", fw.trap "24h", drop }

-- Bait is watched: the first touch is told, the third is answered.
input { "bait",       tcp = bait, flags = "syn", touched, drop }
input { "closed",     flags = "syn", closed, drop }

-- One line a source and port: fields = … passes just these, which is cheap.
fw.on(touched, { fields = { "src", "dport", "ttl" } }, function(src, dport, ttl)
  fw.log.info(src .. " touched port " .. dport .. " (ttl " .. (ttl or "?") .. ")")
end)

fw.detect "bait" {
  on = touched, count = "events", over = 2, within = "10m", ban = { "1h", "24h", "30d" },
  action = function(hit) fw.log.warn(hit.src .. " is after port " .. hit.ports[1]) end,
}
fw.detect "portscan" {
  on = { closed, touched }, count = "distinct dport", over = 5, within = "5m", ban = { "1h", "24h", "30d" },
}
-- Many hosts of one network, each a little: all of it.
fw.detect "nest" {
  on = { closed, touched }, per = "src/24", over = 200, within = "10m", ban = "6h",
}
