-- wireguard.lua: a WireGuard gateway. Peers reach the inside and the internet
-- through it, and not each other; the outside sees one silent UDP port.
--
-- Let the kernel forward first:
--   sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

local fw = require "moonlatch"
require "hygiene"
local accept, drop = fw.accept, fw.drop

fw.watchdog { confirm = "60s", fallback = "previous" }

local wan, lan, vpn = "eth0", "eth1", "wg0"
local peers  = fw.set "peers"  { "10.8.0.0/24", "fd08::/64" }
local admins = fw.set "admins" { "192.0.2.0/28", "2001:db8::/48", "10.8.0.2", "fd08::2" }
fw.protect { admins, peers }

local closed = fw.stream "closed"


-- To the gateway itself ----------------------------------------------------------

local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "loopback",   iif = "lo",                        accept }
input { "replies",    ct = { "established", "related" }, accept }
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-advert", "mld-listener-query" }, accept }
input { "ping",       icmp = "echo-request", limit = "20/s", accept }
-- WireGuard answers nobody without a key. The limit spares it the cryptography of a
-- flood; peers that are in touch are past the replies already.
input { "wireguard",  udp = 51820, limit = "50/s burst 100 per src", accept }
input { "ssh",        tcp = 22, src = admins, accept }            -- through the tunnel, or from the office
input { "dns",        iif = vpn, proto = { "tcp", "udp" }, dport = 53, accept }
input { "closed",     iif = wan, flags = "syn", closed, drop }


-- Through the gateway ------------------------------------------------------------

local forward = fw.chain "forward" { hook = "forward", policy = "drop" }
forward { "mss",      flags = "syn/syn,rst", fw.mss("rt mtu") }   -- a tunnel carries less than its link
forward { "replies",  ct = { "established", "related" }, accept }
forward { "internet", iif = vpn, oif = wan, src = peers, accept }
forward { "inside",   iif = vpn, oif = lan, src = peers, accept }
-- forward { "peers", iif = vpn, oif = vpn, accept }              -- if they are to reach each other

local srcnat = fw.chain "src_nat" { hook = "postrouting", type = "nat" }
srcnat { "internet",  oif = wan, src = peers, fw.masquerade() }

fw.detect "portscan" {
  on = closed, count = "distinct dport", over = 10, within = "60s", ban = { "1h", "24h", "7d" },
}
