-- What containers.lua promises. Try it with: moonlatch test containers_test.lua

local t = require "moonlatch.test"
t.load "containers.lua"

t.test("the host's own ports", function()
  t.send { tcp = 22 }:expect("accept", "ssh")
  t.send { tcp = 443 }:expect("accept", "public")
  t.send { tcp = 5432 }:expect("drop", "closed")
  t.send { src = "192.0.2.5", tcp = 5432 }:expect("accept", "admins")
end)

t.test("containers go out, and nothing comes in past Docker's translation", function()
  t.send { dst = "172.17.0.2", oif = "docker0", tcp = 8080 }:expect("drop", "closed")
  t.send { src = "192.0.2.5", dst = "172.17.0.2", oif = "docker0", tcp = 8080 }:expect("accept", "admins")
end)
