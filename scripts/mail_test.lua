-- What mail.lua promises. Try it with: moonlatch test mail_test.lua

local t = require "moonlatch.test"
t.load "mail.lua"

t.test("services", function()
  for _, port in ipairs { 25, 80, 443, 465, 587, 993, 995, 4190 } do t.send { tcp = port }:expect "accept" end
  t.send { tcp = 3306 }:expect("drop", "closed")
  t.send { src = "2001:db8:9::9", tcp = 993 }:expect("accept", "login")
end)

t.test("a hundred logins are enough", function()
  for n = 1, 101 do t.send { tcp = 993, sport = 40000 + n } end
  t.banned("203.0.113.9", "30m")
end)
