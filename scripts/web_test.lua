-- What web.lua promises. Try it with: moonlatch test web_test.lua

local t = require "moonlatch.test"
local web = t.load "web.lua"

local stranger, admin = "203.0.113.9", "192.0.2.5"

t.test("the services of the server are open", function()
  for _, port in ipairs { 80, 443 } do t.send { src = stranger, tcp = port }:expect("accept", "web") end
  t.send { src = stranger, udp = 443 }:expect("accept", "http3")
  t.send { src = stranger, tcp = "smtp" }:expect("accept", "smtp")
  for _, port in ipairs { 465, 587 } do t.send { src = stranger, tcp = port }:expect("accept", "submission") end
  for _, port in ipairs { 143, 993 } do t.send { src = stranger, tcp = port }:expect("accept", "imap") end
  for _, port in ipairs { 110, 995 } do t.send { src = stranger, tcp = port }:expect("accept", "pop3") end
  t.send { src = "2001:db8:9::9", tcp = 443 }:expect("accept", "web")
end)

t.test("nothing else is", function()
  for _, port in ipairs { 21, 23, 53, 3306, 5432, 8080 } do t.send { src = stranger, tcp = port }:expect("drop", "closed") end
  t.send { src = stranger, udp = 53 }:expect("drop", "policy")
  t.send { src = stranger, sctp = 80 }:expect("drop", "policy")
  t.send { src = "2001:db8:9::9", tcp = 3306 }:expect("drop", "closed")
end)

t.test("an admin gets in by ssh without limit, everybody else slowly", function()
  for sport = 1001, 1030 do t.send { src = admin, tcp = 22, sport = sport }:expect("accept", "ssh admins") end
  for sport = 1001, 1020 do t.send { src = stranger, tcp = 22, sport = sport }:expect("accept", "ssh") end
  t.send { src = stranger, tcp = 22, sport = 1030, count = 20 }:expect("drop", "ssh too fast")
  t.send { src = "203.0.113.10", tcp = 22 }:expect("accept", "ssh")
end)

t.test("a connection that exists goes on", function()
  t.connect { src = stranger, tcp = 22, sport = 5000 }
  t.send { src = stranger, tcp = 22, sport = 5000, flags = "ack", count = 50 }:expect("accept", "replies")
  t.send { src = stranger, tcp = 9999, flags = "ack" }:expect("drop", "policy")
end)

t.test("the host reaches others and gets their answers", function()
  t.connect { output = true, dst = stranger, tcp = 443 }
  t.connect { output = true, dst = "198.51.100.53", udp = 53 }
  t.send { src = "198.51.100.53", udp = 40000, sport = 53 }:expect("accept", "replies")
  t.send { src = "198.51.100.54", udp = 40000, sport = 53 }:expect("drop", "policy")
end)

t.test("ping and the neighbours of IPv6 work", function()
  t.send { src = stranger, icmp = "echo-request" }:expect("accept", "ping")
  t.send { src = "2001:db8:9::9", icmp = "echo-request" }:expect("accept", "ping")
  t.send { iif = "lo", tcp = 5432 }:expect("accept", "loopback")
end)

t.test("ten packets of a stealth scan are enough", function()
  t.send { src = stranger, tcp = 80, flags = "none" }:expect("drop", "null")
  t.send { src = stranger, tcp = 80, flags = "fin,psh,urg" }:expect("drop", "xmas")
  t.send { src = stranger, tcp = 80, flags = "syn,fin" }:expect("drop", "syn fin")
  t.send { src = stranger, tcp = 80, flags = "syn,rst" }:expect("drop", "syn rst")
  t.send { src = stranger, tcp = 80, flags = "fin" }:expect("drop", "fin")
  assert(t.events "stealth" == 5)
  t.not_banned(stranger)
  t.send { src = stranger, tcp = 80, flags = "none", count = 6 }
  t.banned(stranger, "1h")
end)

t.test("a scanner is banned, for longer each time; an admin never", function()
  local function scan(src) for port = 1000, 1011 do t.send { src = src, tcp = port } end end
  scan(admin)
  t.not_banned(admin)
  for _, time in ipairs { "1h", "24h", "7d", "7d" } do
    scan(stranger)
    t.banned(stranger, time)
    t.send { src = stranger, tcp = 443 }:expect("drop", "banned")
    t.advance(time)
    t.not_banned(stranger)
    t.send { src = stranger, tcp = 443 }:expect("accept", "web")
  end
end)

t.test("of IPv6, a scanner's whole /64 is banned", function()
  for port = 1000, 1011 do t.send { src = "2001:db8:9::" .. port, tcp = port } end
  t.banned("2001:db8:9::1", "1h")
  t.not_banned("2001:db8:9:1::1")
end)

t.test("a slow scan stays below the detector", function()
  for port = 1000, 1040 do
    t.send { src = stranger, tcp = port }
    t.advance "10s"
  end
  t.not_banned(stranger)
end)
