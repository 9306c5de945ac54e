-- What minimal.lua promises. Try it with: moonlatch test minimal_test.lua

local t = require "moonlatch.test"
t.load "minimal.lua"

t.test("only ssh comes in", function()
  t.send { src = "203.0.113.9", tcp = 22 }:expect("accept", "ssh")
  t.send { src = "2001:db8:9::9", tcp = 22 }:expect("accept", "ssh")
  t.send { src = "203.0.113.9", tcp = 80 }:expect("drop", "closed")
  t.send { src = "203.0.113.9", udp = 53 }:expect("drop", "policy")
  t.send { src = "203.0.113.9", icmp = "echo-request" }:expect("accept", "ping")
end)

t.test("answers come back", function()
  t.connect { output = true, dst = "203.0.113.80", tcp = 443 }
end)

t.test("more than ten closed ports are a scan", function()
  for port = 1, 10 do t.send { src = "203.0.113.9", tcp = 1000 + port } end
  t.not_banned "203.0.113.9"
  t.send { src = "203.0.113.9", tcp = 1011 }
  t.banned("203.0.113.9", "1h")
  t.send { src = "203.0.113.9", tcp = 22 }:expect("drop", "banned")
end)
