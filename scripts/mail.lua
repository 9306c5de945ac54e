-- mail.lua: a web and mail server, with limits that fit mail. web.lua explains
-- more of the language.

local fw = require "moonlatch"
require "hygiene"
local accept, drop = fw.accept, fw.drop

fw.watchdog { confirm = "60s", fallback = "previous" }

local admins = fw.set "admins" { "192.0.2.0/28", "2001:db8::/48" }
fw.protect { admins }

local web   = fw.set "web"   { 80, 443 }
local login = fw.set "login" { 465, 587, 993, 995, 4190 }   -- where users give a password

local closed = fw.stream "closed"
local logins = fw.stream "logins" { rate = "2000/s burst 2000" }

local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "loopback",   iif = "lo",                        accept }
input { "replies",    ct = { "established", "related" }, accept }
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-advert", "mld-listener-query" }, accept }
input { "ping",       icmp = "echo-request", limit = "20/s", accept }

input { "ssh admins", tcp = 22, src = admins, accept }
input { "ssh",        tcp = 22, limit = "10/min burst 20 per src", accept }
input { "web",        tcp = web, accept }
input { "http3",      udp = 443, accept }

-- Other servers bring mail on few connections, each for many messages. Those that
-- are refused for now come again later: that is how mail works.
input { "smtp crowd", tcp = 25, connlimit = "over 20 per src", fw.reject("tcp-reset") }
input { "smtp",       tcp = 25, limit = "60/min burst 60 per src", accept }
input { "smtp later", tcp = 25, fw.reject("tcp-reset") }

-- A rule without a verdict logs and goes on: each new login is looked at.
input { "logins",     tcp = login, flags = "syn", logins }
input { "login",      tcp = login, accept }
input { "closed",     flags = "syn", closed, drop }

-- Only the mail server itself sends mail: a broken web page does not. Put in the
-- number of its user (id -u postfix).
-- local output = fw.chain "output" { hook = "output", policy = "accept" }
-- output { "spam", tcp = 25, not_uid = 105, not_oif = "lo", fw.reject("tcp-reset") }

fw.detect "portscan" {
  on = closed, count = "distinct dport", over = 10, within = "60s", ban = { "1h", "24h", "7d" },
}

-- A mail program keeps its connections. Who opens a hundred within ten minutes is
-- guessing passwords, or stands behind one address with many others: hence half an
-- hour only.
fw.detect "guessing" {
  on = logins, count = "events", over = 100, within = "10m", ban = { "30m", "6h" },
}
