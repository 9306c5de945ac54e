-- What wireguard.lua promises. Try it with: moonlatch test wireguard_test.lua

local t = require "moonlatch.test"
t.load "wireguard.lua"

t.test("the outside sees one port", function()
  t.send { udp = 51820 }:expect("accept", "wireguard")
  t.send { udp = 53 }:expect("drop", "policy")
  t.send { tcp = 22 }:expect("drop", "closed")
  t.send { src = "192.0.2.5", tcp = 22 }:expect("accept", "ssh")
end)

t.test("and nothing behind the gateway", function()
  t.send { dst = "192.168.1.10", oif = "eth1", tcp = 22 }:expect("drop", "policy")
end)
