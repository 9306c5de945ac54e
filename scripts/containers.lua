-- containers.lua: a host with Docker (or Podman), whose published ports are not
-- everybody's.
--
-- Docker has nf_tables rules of its own: they send a published port on to its
-- container before any input rule sees it, and accept it in a forward chain. That
-- is why "-p 5432:5432" is open to the world whatever the firewall's input says.
--
-- Both live side by side. Moonlatch has its own tables and touches no others; in the
-- kernel, every forward chain is asked, an accept ends only the chain that it is
-- in, and a drop ends all. So Docker's rules do what they must, and the chain
-- `forward` here has the last word on what comes from outside.

local fw = require "moonlatch"
local accept, drop = fw.accept, fw.drop

fw.watchdog { confirm = "60s", fallback = "previous" }

local admins  = fw.set "admins" { "192.0.2.0/28", "2001:db8::/48" }
fw.protect { admins }

local bridges = { "docker*", "br-*", "podman*" }   -- the containers' networks
local public  = fw.set "public" { 80, 443 }        -- published, for everybody: as the outside names them

local closed = fw.stream "closed"


-- To the host itself, and to ports that docker-proxy listens on -------------------

local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "loopback",   iif = "lo",                        accept }
input { "replies",    ct = { "established", "related" }, accept }
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-advert", "mld-listener-query" }, accept }
input { "ping",       icmp = "echo-request", limit = "20/s", accept }
input { "dns",        iif = bridges, proto = { "tcp", "udp" }, dport = 53, accept }   -- containers ask the host
input { "ssh",        tcp = 22, limit = "10/min burst 20 per src", accept }
input { "admins",     src = admins, accept }
input { "public",     tcp = public, not_iif = bridges, accept }
input { "closed",     flags = "syn", not_iif = bridges, closed, drop }


-- To containers -----------------------------------------------------------------

-- Behind Docker's translation a packet has the container's own port. The one that
-- the sender asked for, 8080 of "-p 8080:80", is in the connection's first packet:
-- that is what nft calls "ct original proto-dst".
local forward = fw.chain "forward" { hook = "forward", policy = "drop" }
forward { "replies",   ct = { "established", "related" }, accept }
forward { "out",       iif = bridges,                     accept }   -- Docker keeps its networks apart itself
forward { "admins",    src = admins, oif = bridges,       accept }
forward { "published", oif = bridges, ct = { status = "dnat" }, "meta l4proto tcp ct original proto-dst @public", accept }
forward { "closed",    oif = bridges, flags = "syn", closed, drop }

fw.detect "portscan" {
  on = closed, count = "distinct dport", over = 10, within = "60s", ban = { "1h", "24h", "7d" },
}
