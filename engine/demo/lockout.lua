-- lockout.lua: the mistake that everybody makes once. Nothing comes in any more,
-- not even the administrator, and not even what belongs to open connections.

local fw = require "moonlatch"

fw.chain "input" { hook = "input", policy = "drop" }
