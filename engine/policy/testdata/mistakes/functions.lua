fw.on(closed, function(ev)
  if ev.dprot == 22 then --! an event has no field "dprot" (did you mean "dport"?)
    fw.bna(ev.scr, "1h") --! unknown name fw.bna (did you mean "ban"?) --! an event has no field "scr" (did you mean "src"?)
  end
  return ev:mathc("x") --! an event has no field "mathc" (did you mean "match"?)
end)
---
local ban, log = fw.ban, fw.log
fw.detect "d" { on = closed, over = 1, within = "60s", action = function(hit)
  ban(hit.source, "1h") --! a hit has no field "source" (did you mean "src"?)
  log.wran(hit.src) --! unknown name fw.log.wran (did you mean "warn"?)
end }
---
local function helper() --[[ nobody calls it ]]
  for _, name in ipairs(fw.fact.interfaces()) do fw.log.info(fw.fact.adresses(), name) end --! unknown name fw.fact.adresses (did you mean "addresses"?)
end
---
local m = require "moonlatch"
fw.every("1m", function() return function() m.unbann("192.0.2.1") end end) --! unknown name fw.unbann (did you mean "unban"?)
fw.on(closed, { tpc = 80 }, function(ev) return function() return ev.tlt end end) --! unknown field "tpc" in the filter of fw.on (did you mean "tcp"?) --! an event has no field "tlt" (did you mean "ttl"?)
