-- database.lua: a database server that exists in the VPN only. From the internet
-- it shows nothing: no port, no answer.

local fw = require "moonlatch"
require "hygiene"
local accept, drop = fw.accept, fw.drop

fw.watchdog { confirm = "60s", fallback = "previous" }

local vpn     = "wg0"
local admins  = fw.set "admins" { "10.8.0.2", "fd08::2" }
fw.protect { admins, "10.8.0.0/24", "fd08::/64" }

-- Who may use which service: pairs of a client and a port.
local clients = fw.set "clients" { of = { "src", "dport" },
  { "10.8.0.10-10.8.0.19", 5432 },        -- the web servers
  { "fd08::10",            5432 },
  { "10.8.0.30",           5432 },        -- the replica
  { "10.8.0.40",           9187 },        -- Prometheus, which asks the exporter
}

local closed = fw.stream "closed"

local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "loopback",   iif = "lo",                        accept }
input { "replies",    ct = { "established", "related" }, accept }
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-advert", "mld-listener-query" }, accept }
input { "wireguard",  udp = 51820, limit = "50/s burst 100 per src", accept }

-- An address alone proves nothing: the packet must come out of the tunnel, which
-- lets each key use its own addresses only.
local tunnel = fw.chain "tunnel" {}
input { "vpn",        iif = vpn, fw.goto_(tunnel) }
tunnel { "ping",      icmp = "echo-request",                  accept }
tunnel { "ssh",       tcp = 22, src = admins,                 accept }
tunnel { "too many",  tcp = 5432, connlimit = "over 200 per src", fw.reject("tcp-reset") }   -- a client with a leak
tunnel { "clients",   tcp = true, set = clients,              accept }
tunnel { "others",    flags = "syn",                          fw.reject("tcp-reset") }   -- colleagues get an answer

-- Whoever tries doors from outside is no client.
input { "closed",     not_iif = vpn, flags = "syn", closed, drop }

-- A database opens no connections to the internet by itself; a thief of data does.
local output = fw.chain "output" { hook = "output", policy = "accept" }
output { "postgres",  oif = "eth0", ct = "new", tcp = true, uid = 70, fw.reject("tcp-reset") }   -- the number of your postgres: id -u postgres

fw.detect "portscan" {
  on = closed, count = "distinct dport", over = 5, within = "60s", ban = { "24h", "7d" },
}
