package policy

import "testing"

// Names that something else than the module, an event or a hit may have are nobody's mistake.
func TestNamesOfOthers(t *testing.T) {
	newStage(t, `
fw.on(closed, function(ev, more)
  local seen = { scr = ev.src }
  local function other(fw, ev) return fw.bna, ev.scr end
  do local ev = seen; other(ev.scr, more) end
  for _, ev in ipairs({ seen }) do log(ev.scr) end
  repeat local fw = {} until fw.bna == nil
  ev = seen
  log(ev.scr)
end)
fw.detect "d" { on = closed, over = 1, within = "60s", action = function(hit)
  hit.mine = 1
  log(hit.mine)
end }
local m = fw
m = { bna = 1 }
log(m.bna)
local function require(name) return { bna = name } end
log(require("moonlatch").bna)
`)
}
