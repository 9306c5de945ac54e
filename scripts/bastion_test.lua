-- What bastion.lua promises. Try it with: moonlatch test bastion_test.lua

local t = require "moonlatch.test"
t.load "bastion.lua"

t.test("ssh is for admins", function()
  t.send { src = "192.0.2.5",   tcp = 22 }:expect("accept", "ssh admins")
  t.send { src = "203.0.113.9", tcp = 22 }:expect("drop", "ssh others")
end)

t.test("three knocks open it for who knocked", function()
  for _, port in ipairs { 7003, 9001, 8002 } do t.send { src = "203.0.113.9", tcp = port }:expect "drop" end
  t.send { src = "203.0.113.9", tcp = 22 }:expect("accept", "ssh guests")
  t.send { src = "203.0.113.8", tcp = 22 }:expect("drop", "ssh others")
  t.not_banned "203.0.113.9"
end)

t.test("knocks in order are a scan", function()
  for _, port in ipairs { 7003, 8002, 9001 } do t.send { tcp = port } end
  t.send { tcp = 22 }:expect("drop", "ssh others")
end)
