-- What router.lua promises. Try it with: moonlatch test router_test.lua

local t = require "moonlatch.test"
t.load "router.lua"

t.test("the outside reaches what is forwarded", function()
  t.send { tcp = 443 }:expect_nat { dst = "192.168.1.10", dport = 443 }
  t.send { tcp = 2222 }:expect_nat { dst = "192.168.1.20", dport = 22 }
  t.send { tcp = 22 }:expect("drop", "closed")
  t.send { src = "2001:db8:9::9", dst = "2001:db8:10::10", tcp = 443 }:expect("accept", "doors")
  t.send { src = "2001:db8:9::9", dst = "2001:db8:10::10", tcp = 22 }:expect "drop"
end)
