-- lists.lua: who comes in is decided by lists in files, which others make: drop
-- lists, the networks of a provider (ASN), the networks of a country (GeoIP).
--
-- A list has one address, prefix or range a line, of both families, and # starts a
-- comment. A million lines are fine. To take in new ones, fetch them and apply the
-- policy again, as from a timer; a damaged list is refused, and the old one stays:
--
--   curl -fsS https://lists.example/drop.txt -o lists/drop.txt &&
--   moonlatch apply lists.lua && moonlatch confirm

local fw = require "moonlatch"
local accept, drop = fw.accept, fw.drop

fw.watchdog { confirm = "60s", fallback = "previous" }

local admins  = fw.set "admins"  { "192.0.2.0/28", "2001:db8::/48" }
local bad     = fw.set "bad"     { file = "lists/drop.txt" }      -- hijacked networks
local hosters = fw.set "hosters" { file = "lists/asn.txt" }       -- where no customer of ours lives
local country = fw.set "country" { file = "lists/country.txt" }   -- where our customers do
fw.protect { admins }

local closed = fw.stream "closed"

-- Before connection tracking: what is dropped here costs next to nothing. Admins
-- first, so that no list that others make can lock them out.
local early = fw.chain "early" { hook = "prerouting", priority = "raw", policy = "accept" }
early { "admins", src = admins, accept }
early { "bad",    src = bad,    drop }

-- And nobody in here talks to them.
local output = fw.chain "output" { hook = "output", policy = "accept" }
output { "bad",   dst = bad, not_oif = "lo", fw.reject }

local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "loopback",   iif = "lo",                        accept }
input { "replies",    ct = { "established", "related" }, accept }
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-advert", "mld-listener-query" }, accept }
input { "ping",       icmp = "echo-request", limit = "20/s", accept }
input { "ssh",        tcp = 22, src = { admins, country }, limit = "30/min burst 30 per src", accept }
input { "hosters",    tcp = { 80, 443 }, src = hosters, limit = "2/s burst 20 per src", accept }   -- bots: slowly
input { "too fast",   tcp = { 80, 443 }, src = hosters, drop }
input { "web",        tcp = { 80, 443 }, accept }
input { "closed",     flags = "syn", closed, drop }

fw.detect "portscan" {
  on = closed, count = "distinct dport", over = 10, within = "60s", ban = { "1h", "24h", "7d" },
}
