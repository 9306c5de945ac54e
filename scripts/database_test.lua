-- What database.lua promises. Try it with: moonlatch test database_test.lua

local t = require "moonlatch.test"
t.load "database.lua"

t.test("nobody outside sees anything", function()
  t.send { tcp = 5432 }:expect("drop", "closed")
  t.send { tcp = 22 }:expect("drop", "closed")
  t.send { icmp = "echo-request" }:expect "drop"
  t.send { udp = 51820 }:expect("accept", "wireguard")
end)

t.test("who looks for doors is banned for a day", function()
  for port = 1, 6 do t.send { tcp = 1000 + port } end
  t.banned("203.0.113.9", "24h")
end)
