package policytest

import (
	"fmt"
	"strings"
)

// Definitions is the module moonlatch.test for the Lua language server: a meta
// file that names every function, and every field of a packet.
func Definitions() string {
	var b strings.Builder
	b.WriteString(`---@meta moonlatch.test

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
`)
	for _, f := range fields() {
		fmt.Fprintf(&b, "---@field %s? string|number|boolean\n", f.name)
	}
	b.WriteString("\nlocal t = {}\n")
	for _, f := range functions() {
		fmt.Fprintf(&b, "\n---%s\n", f.doc)
		params, returns, _ := strings.Cut(f.params, " -> ")
		var names []string
		for p := range strings.SplitSeq(params, ", ") {
			name, kind, _ := strings.Cut(p, " ")
			fmt.Fprintf(&b, "---@param %s %s\n", name, kind)
			names = append(names, strings.TrimSuffix(name, "?"))
		}
		if returns != "" {
			fmt.Fprintf(&b, "---@return %s\n", returns)
		}
		fmt.Fprintf(&b, "function t.%s(%s) end\n", f.name, strings.Join(names, ", "))
	}
	b.WriteString("\nreturn t\n")
	return b.String()
}
