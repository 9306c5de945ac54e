---@meta moonlatch.test

-- The module moonlatch.test, for the Lua language server.

---a loaded policy
---@class moonlatch.test.policy
---@field sets table<string, string[]> the addresses of each set

---what became of a packet
---@class moonlatch.test.sent
---@field verdict string
---@field rule string
---@field chain string
local sent = {}

---expects a verdict, and the rule that decides
---@param verdict string
---@param rule? string
---@return moonlatch.test.sent
function sent:expect(verdict, rule) end

---expects what NAT made of the packet
---@param packet moonlatch.test.packet
---@return moonlatch.test.sent
function sent:expect_nat(packet) end

---a packet; the protocol is one of tcp, udp, sctp, icmp and proto
---@class moonlatch.test.packet
---@field src? string|number|boolean
---@field dst? string|number|boolean
---@field tcp? string|number|boolean
---@field udp? string|number|boolean
---@field sctp? string|number|boolean
---@field icmp? string|number|boolean
---@field code? string|number|boolean
---@field proto? string|number|boolean
---@field sport? string|number|boolean
---@field flags? string|number|boolean
---@field iif? string|number|boolean
---@field oif? string|number|boolean
---@field output? string|number|boolean
---@field ttl? string|number|boolean
---@field dscp? string|number|boolean
---@field mac? string|number|boolean
---@field payload? string|number|boolean
---@field count? string|number|boolean

local t = {}

---names the policy that the file tests
---@param policy string
---@return moonlatch.test.policy
function t.load(policy) end

---declares a test, which has a host of its own
---@param what string
---@param run fun()
function t.test(what, run) end

---sends a packet to the host
---@param packet moonlatch.test.packet
---@return moonlatch.test.sent
function t.send(packet) end

---makes an established connection
---@param packet moonlatch.test.packet
---@return moonlatch.test.sent
function t.connect(packet) end

---gives the host one more address
---@param address string
function t.address(address) end

---expects that the address is banned, for that time if one is given
---@param address string
---@param time? string
function t.banned(address, time) end

---expects that the address is not banned
---@param address string
function t.not_banned(address) end

---the number of packets that came in on a stream
---@param stream string
---@return number
function t.events(stream) end

---expects that the target was told something, whose title or text matches the Lua pattern if one is given
---@param target string
---@param pattern? string
function t.notified(target, pattern) end

---has a new list come for a feed of the policy: addresses, prefixes and ranges
---@param name string
---@param list string[]
function t.feed(name, list) end

---lets time pass: for timers, bans, detectors, and what is remembered
---@param time string
function t.advance(time) end

return t
