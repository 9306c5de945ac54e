-- What hygiene.lua promises. Try it with: moonlatch test hygiene_test.lua

local t = require "moonlatch.test"
t.load "hygiene.lua"

t.test("what no honest program sends", function()
  for _, src in ipairs { "203.0.113.9", "2001:db8:9::9" } do
    t.send { src = src, tcp = 443, flags = "none" }:expect("drop", "null")
    t.send { src = src, tcp = 443, flags = "syn,fin" }:expect("drop", "syn fin")
    t.send { src = src, tcp = 443, flags = "fin" }:expect("drop", "fin")
    t.send { src = src, tcp = 0 }:expect("drop", "port 0")
  end
end)

t.test("what one does", function()
  t.send { tcp = 443 }:expect "accept"
  t.send { udp = 53 }:expect "accept"
end)
