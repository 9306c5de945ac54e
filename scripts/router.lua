-- router.lua: the router of a home or a small office. The inside may go out, the
-- outside reaches what is forwarded, and nothing else.
--
-- Let the kernel forward first:
--   sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

local fw = require "moonlatch"
require "hygiene"
local accept, drop = fw.accept, fw.drop

fw.watchdog { confirm = "60s", fallback = "previous" }

-- Your own here: the interface to the provider, that to the inside, and what it has.
local wan, lan = "eth0", "eth1"
local router   = { "192.168.1.1", "2001:db8:10::1" }          -- this host's own, on the inside
local inside   = fw.set "inside" { "192.168.1.0/24", "2001:db8:10::/64", "fe80::/10" }
fw.protect { inside }

-- What the outside reaches. IPv4 needs port forwards, IPv6 only doors: there,
-- every host has an address of its own.
local forwards = fw.map "forwards" {
  [443]  = { "192.168.1.10", 443 },
  [2222] = { "192.168.1.20", 22 },
}
local doors = fw.set "doors" { of = { "dst", "dport" },
  { "2001:db8:10::10", 443 },
}

local closed = fw.stream "closed"


-- To the router itself ----------------------------------------------------------

local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "loopback",   iif = "lo",                        accept }
input { "replies",    ct = { "established", "related" }, accept }
input { "neighbours", icmp = { "nd-router-solicit", "nd-router-advert", "nd-neighbor-solicit", "nd-neighbor-advert", "mld-listener-query", "mld-listener-report" }, accept }
input { "dhcpv6",     iif = wan, src = "fe80::/10", udp = 546, accept }   -- the prefix that the provider lends
input { "ping",       icmp = "echo-request", limit = "20/s", accept }
input { "dhcp",       iif = lan, udp = { 67, 547 }, accept }              -- before it has an address
input { "services",   iif = lan, src = inside, proto = { "tcp", "udp" }, dport = 53, accept }
input { "manage",     iif = lan, src = inside, tcp = 22, accept }
input { "closed",     iif = wan, flags = "syn", closed, drop }


-- Through the router ------------------------------------------------------------

local forward = fw.chain "forward" { hook = "forward", policy = "drop" }
-- Links like PPPoE carry less than Ethernet: announce what fits.
forward { "mss",       flags = "syn/syn,rst", fw.mss("rt mtu") }
forward { "replies",   ct = { "established", "related" },           accept }
forward { "out",       iif = lan, oif = wan, src = inside,          accept }
forward { "forwarded", oif = lan, ct = { status = "dnat" },         accept }   -- what dstnat sent
forward { "doors",     iif = wan, oif = lan, tcp = true, set = doors, accept }
forward { "ping",      iif = wan, icmp = "echo-request", dst = "2001:db8:10::/64", limit = "20/s", accept }


-- Addresses ---------------------------------------------------------------------

-- Whatever this router's public address is: not that of the inside, where it
-- has services of its own. The inside may use the public one, too (hairpin).
local dstnat = fw.chain "dst_nat" { hook = "prerouting", type = "nat" }
dstnat { "forwards", fib = "daddr type local", not_dst = router, tcp = true, fw.dnat(forwards) }

local srcnat = fw.chain "src_nat" { hook = "postrouting", type = "nat" }
srcnat { "out",     oif = wan, src = "192.168.1.0/24", fw.masquerade() }
srcnat { "hairpin", oif = lan, src = "192.168.1.0/24", ct = { status = "dnat" }, fw.masquerade() }

fw.detect "portscan" {
  on = closed, count = "distinct dport", over = 10, within = "60s", ban = { "1h", "24h", "7d" },
}
