-- What honeypot.lua promises. Try it with: moonlatch test honeypot_test.lua

local t = require "moonlatch.test"
t.load "honeypot.lua"

t.test("a worm is trapped by the first packet", function()
  t.send { tcp = 23 }:expect("drop", "worms")
  t.send { icmp = "echo-request" }:expect "drop"
end)

t.test("the third touch of bait is answered", function()
  t.send { tcp = 6379, count = 2 }
  t.not_banned "203.0.113.9"
  t.send { tcp = 6379 }
  t.banned("203.0.113.9", "1h")
end)

t.test("admins may touch everything", function()
  t.send { src = "192.0.2.5", tcp = 23 }
  t.send { src = "192.0.2.5", tcp = 6379, count = 5 }
  t.send { src = "192.0.2.5", tcp = 22 }:expect("accept", "ssh")
end)
