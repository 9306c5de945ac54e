-- web.lua: the firewall of a public web and mail server.
--
-- How to make it yours:
--   1. put the addresses that you manage the server from into `admins`,
--   2. leave only those services that the server really offers,
--   3. moonlatch check web.lua     tries it where it can do no harm,
--   4. moonlatch apply web.lua     puts it in force, on trial,
--   5. moonlatch confirm           keeps it. Run this from a NEW connection: that
--                                  one proves that you still get in. If you do
--                                  not, wait: the old rules come back by themselves.

local fw = require "moonlatch"
local accept, drop = fw.accept, fw.drop   -- verdicts: what can become of a packet

-- If nobody confirms this policy within a minute, the kernel puts the previous
-- one back in force. That works even if every process of Moonlatch is dead.
fw.watchdog { confirm = "60s", fallback = "previous" }


-- Who you are ------------------------------------------------------------------

-- A set holds addresses, prefixes and ranges of IPv4 and IPv6. These two are
-- examples that nobody on the internet has. Put your own here, for instance the
-- office and the VPN: { "198.51.100.7", "10.8.0.0/24", "2001:db8:17::/48" }.
local admins = fw.set "admins" { "192.0.2.0/28", "2001:db8::/48" }

-- These can never be banned, whatever they seem to have done. The server's own
-- addresses, its gateways and its resolvers, and the address that you apply this
-- policy from over ssh are protected without being listed.
fw.protect { admins }


-- What is worth a look ---------------------------------------------------------

-- A rule that has a stream among its items logs the packet to it. Detectors, at
-- the end of this file, count what comes in on a stream.
local closed  = fw.stream "closed"    -- somebody wants to connect to a closed port
local stealth = fw.stream "stealth"   -- TCP flags that no honest program sends


-- What comes in ----------------------------------------------------------------

-- A chain hangs at a hook of the kernel; this one sees every packet for the
-- server itself. Each call appends a rule: its name, what the packet must be (all
-- of it), and what then becomes of the packet. Rules are asked from top to
-- bottom. What none of them takes meets the chain's own policy: drop.
local input = fw.chain "input" { hook = "input", policy = "drop" }

input { "loopback", iif = "lo",                        accept }   -- the server with itself
input { "replies",  ct = { "established", "related" }, accept }   -- connections that exist, and their errors

-- IPv6 finds its neighbours and its router with these; without them it is dead
-- after half a minute. So they have no limit that a neighbour could use up.
input { "neighbours", icmp = { "nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-advert", "mld-listener-query" }, accept }
input { "dhcpv6", src = "fe80::/10", udp = 546, accept }

-- One name covers ICMP and ICMPv6 where both have it. Errors tell a sender what
-- went wrong: who drops "packet-too-big" and its like makes connections hang.
input { "errors", icmp = { "destination-unreachable", "packet-too-big", "time-exceeded", "parameter-problem" }, limit = "100/s burst 100", accept }
input { "ping",   icmp = "echo-request", limit = "20/s burst 40", accept }

-- Scanners send flags that make no sense, because answers to them give open
-- ports away. "a,b/c,d" means: of the flags behind the slash, exactly those
-- before it are set. None of these packets can belong to a connection.
input { "null",    flags = "none",                        stealth, drop }
input { "xmas",    flags = "fin,psh,urg/fin,psh,urg,ack", stealth, drop }
input { "syn fin", flags = "syn,fin/syn,fin",             stealth, drop }
input { "syn rst", flags = "syn,rst/syn,rst",             stealth, drop }
input { "fin",     flags = "fin/fin,ack",                 stealth, drop }

-- What fits no connection, such as an answer that nobody asked for.
input { "invalid", ct = "invalid", drop }

-- ssh, for everybody: but only so many connections a minute from each address
-- (from each /64, in IPv6). Established ones are past the replies already, so a
-- limit never slows a session down.
input { "ssh admins",   tcp = 22, src = admins, accept }
input { "ssh",          tcp = 22, limit = "10/min burst 20 per src", accept }
input { "ssh too fast", tcp = 22, drop }

input { "web",         tcp = { 80, 443 },            accept }
input { "http3",       udp = 443,                    accept }
input { "smtp",        tcp = 25,                     accept }   -- mail from other servers
input { "submission",  tcp = { 465, 587 },           accept }   -- mail from your users
input { "imap",        tcp = { 143, 993 },           accept }
input { "pop3",        tcp = { 110, 995 },           accept }
-- input { "dns",      proto = { "tcp", "udp" }, dport = 53, accept }   -- a name server
-- input { "database", tcp = 5432, src = admins,     accept }           -- not for everybody

-- Whatever else wants to connect finds a closed port. `flags = "syn"` matches only
-- new attempts: late packets of a connection that is over are no attack.
input { "closed", flags = "syn", closed, drop }


-- Who is banned ----------------------------------------------------------------

-- A detector counts in a sliding window, for each source by itself. Who goes over
-- is dropped by the kernel before any rule is asked, on every port and protocol:
-- for an hour, the second time for a day, and from then on for a week.
fw.detect "portscan" {
  on = closed, count = "distinct dport", over = 10, within = "60s",
  ban = { "1h", "24h", "7d" },
}

-- Any ten such packets are too many, whatever port they are for. Their source is
-- easy to forge, so this ban stays short: nobody is locked out for long in
-- somebody else's name.
fw.detect "stealth" {
  on = stealth, count = "events", over = 10, within = "60s",
  ban = "1h",
}
