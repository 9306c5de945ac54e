-- hygiene.lua: packets that no honest program sends. Other policies take it in
-- with one line, and it needs nothing else:
--
--   require "hygiene"
--
-- It only drops, and never bans: such packets carry any source that their sender
-- likes. It comes before every filter chain, so it guards forwarded packets, too.

local fw = require "moonlatch"
local drop = fw.drop

-- Behind connection tracking, which tells what is invalid, and before NAT.
local hygiene = fw.chain "hygiene" { hook = "prerouting", priority = "mangle", policy = "accept" }

hygiene { "own", iif = "lo", fw.accept }

-- Sources that cannot be: this host's own loopback, and groups.
hygiene { "martian", src = { "127.0.0.0/8", "::1", "224.0.0.0/4", "255.255.255.255", "ff00::/8" }, drop }

-- Sources that no route leads back to. With one uplink only, "saddr . iif oif missing"
-- is stricter: it also drops what came in by another interface than replies leave by.
hygiene { "unroutable", fib = "saddr oif missing", drop }

-- "a,b/c,d" means: of the flags behind the slash, exactly those before it.
hygiene { "null",    flags = "none",                        drop }
hygiene { "xmas",    flags = "fin,psh,urg/fin,psh,urg,ack", drop }
hygiene { "syn fin", flags = "syn,fin/syn,fin",             drop }
hygiene { "syn rst", flags = "syn,rst/syn,rst",             drop }
hygiene { "fin",     flags = "fin/fin,ack",                 drop }
hygiene { "port 0",  proto = { "tcp", "udp" }, dport = 0,   drop }

-- Segments this small only serve to make a host work hard.
hygiene { "tiny mss", flags = "syn/syn,rst", "tcp option maxseg size 1-535", drop }

-- What fits no connection. A packet from the middle of an unknown one is left alone:
-- where tracking has only just begun, that is your own session.
hygiene { "invalid", ct = "invalid", drop }

return hygiene   -- for rules of your own: local hygiene = require "hygiene"
