fw.chian "x" --! unknown name fw.chian (did you mean "chain"?)
---
fw.log.inof("x") --! unknown name fw.log.inof (did you mean "info"?)
---
fw.fact.hostnam() --! unknown name fw.fact.hostnam (did you mean "hostname"?)
---
fw.map "x" --! map "x" is named but never filled: write fw.map "x" { [80] = "192.0.2.80" }, and give it to fw.dnat, fw.snat, fw.mark or fw.ctmark
---
input { "a", fw.masquerade() } --! rule "a": fw.masquerade works only in a chain of type "nat" with hook postrouting, and chain "input" is of type "filter" with hook "input"
---
fw.accept = drop --! fw cannot be changed: fw.accept = … is not possible
---
fw "x" --! fw is a module, not a function: its functions are fw.NAME
---
input { "a", accept() } --! accept cannot be called: it stands among a rule's items as it is: input { "name", tcp = 80, accept }
---
input { "a", accept.x } --! accept has no field "x": it stands among a rule's items as it is: input { "name", tcp = 80, accept }
---
input:rule { "a", accept } --! chain "input" has no field "rule": call it to append a rule: input { "name", tcp = 80, accept }
---
input.policy = "drop" --! chain "input" cannot be changed: call it to append a rule: input { "name", tcp = 80, accept }
---
input("a", accept) --! input { "name", … } is expected, not "a"
---
input { "a", reject("tcp-rest") } --! reject knows no "tcp-rest" (did you mean "tcp-reset"?): it is one of tcp-reset, port-unreachable, host-unreachable, no-route, admin-prohibited
---
input { "a", fw.trap(24), drop } --! fw.trap: 24 has no unit: write "24s" for seconds
---
input { "a", fw.syslog(), drop } --! fw.syslog("prefix") is expected, not nothing
---
admins { "192.0.2.1" } --! set "admins" is filled already, and a set is filled once
---
closed { rate = "1/s" }
closed { rate = "1/s" } --! stream "closed" is configured already
---
fw.bans() --! fw.bans works in handlers only: while the policy is read, nothing is in force yet
---
fw.lines("missing.txt") --! fw.lines: there is no file missing.txt in the policy's folder
---
fw.log.info({}) --! fw.log.info("message") is expected, not a table
---
input { "bad", tpc = 1, accept } --! unknown field "tpc" in rule "bad" (did you mean "tcp"?)
local x = nil + 1 --! cannot perform add operation between nil and number
---
input { "a", tcp = 80 accept } --! :23: syntax error near "accept": is a comma missing before it?
