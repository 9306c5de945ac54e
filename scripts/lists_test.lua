-- What lists.lua promises. Try it with: moonlatch test lists_test.lua

local t = require "moonlatch.test"
t.load "lists.lua"

t.test("lists decide", function()
  t.send { src = "203.0.113.70", tcp = 443 }:expect("drop", "bad")
  t.send { src = "2001:db8:1:5::9", tcp = 443 }:expect("drop", "bad")
  t.send { src = "203.0.113.5", tcp = 22 }:expect("accept", "ssh")
  t.send { src = "203.0.113.60", tcp = 22 }:expect("drop", "closed")
  t.send { src = "203.0.113.25", tcp = 443 }:expect("accept", "hosters")
  t.send { src = "203.0.113.60", tcp = 443 }:expect("accept", "web")
end)
