input { "web", tpc = 80, accept } --! unknown field "tpc" in rule "web" (did you mean "tcp"?)
input { "ssh", tcp = 22, accept }
input { "dns", udp = 53, limt = "10/s", accept } --! unknown field "limt" in rule "dns" (did you mean "limit"?)
input { "odd", not_scr = "192.0.2.1", drop } --! unknown field "not_scr" in rule "odd" (did you mean "not_src"?)
input { "far", zzzzzz = 1, drop } --! unknown field "zzzzzz" in rule "far"
---
input { "tcp dport 22 accept" } --! a rule starts with its name, and "tcp dport 22 accept" looks like nft text: write input { "NAME", "tcp dport 22 accept" }
input { "tcp dport 22", accept } --! a rule starts with its name, and "tcp dport 22" looks like nft text: write input { "NAME", "tcp dport 22" }
input { "drop" } --! a rule starts with its name, and "drop" looks like nft text: write input { "NAME", "drop" }
input { "ct state invalid", drop } --! a rule starts with its name, and "ct state invalid" looks like nft text: write input { "NAME", "ct state invalid" }
---
input { tcp = 22, accept } --! a rule starts with its name, and the first item here is accept: write input { "NAME", … }
input { tcp = 22 } --! a rule starts with its name: input { "NAME", … }
input {} --! a rule starts with its name: input { "NAME", … }
---
local names = {}
input { "ssh", tcp = 22, src = names.admns, accept } --! rule "ssh": src is nil: a misspelt name? (without it the rule would match more)
input { "web", tcp = 80, names.acept } --! rule "web": item 2 is nil: a misspelt name?
input { "two", tcp = 80, names.acept, accept } --! rule "two": item 2 is nil: a misspelt name?
input { "list", tcp = { 80, names.https }, accept } --! rule "list": tcp: item 2 of the list is nil: a misspelt name?
input { "inner", src = { admins, { names.a, names.b } }, accept } --! rule "inner": src: item 1 of the list is nil: a misspelt name?
input { names.name, tcp = 80, accept } --! a rule starts with its name: input { "NAME", … }
---
input { "web", tcp = 80, acept } --! undefined name "acept" (did you mean "accept"?)
---
input { "web",
  tcp = { 80,
    "htps" }, --! rule "web": tcp: "htps" is no port, range ("6000-6100") or service name that this host's /etc/services knows for tcp (did you mean "https"?)
  src = "192.0.2.1/24", --! rule "web": src: "192.0.2.1/24" has bits set behind its /24: write "192.0.2.0/24" for the network or "192.0.2.1" for the address
  lmit = "10/s", --! unknown field "lmit" in rule "web" (did you mean "limit"?)
  accept,
}
---
input { "web", 80, accept } --! rule "web": item 2 is the number 80: a port is written tcp = 80
input { "jump", ssh_in } --! rule "jump": item 2 is chain "ssh_in": write fw.jump(ssh_in) or fw.goto_(ssh_in)
input { "set", admins, accept } --! rule "set": item 2 is set "admins": write src = admins or dst = admins
input { "trap", fw.trap, drop } --! rule "trap": item 2 is a function: call it, as in fw.trap "24h" or fw.jump(chain)
input { "table", { tcp = 80 }, accept } --! rule "table": item 2 is a table: fields are written name = value
input { "bool", true, accept } --! rule "bool": item 2 is true, which is no verdict, stream or nft text
input { "far", [80] = accept } --! rule "far": item 2 is nil: a misspelt name?
input { "key", [0] = accept, [accept] = 1 } --! rule "key": a field cannot be named by the number 0 --! rule "key": a field cannot be named by accept
---
input { "goes on", accept, closed } --! rule "goes on" goes on after its verdict "accept": nothing behind a verdict is ever reached, so put it last
input { "text on", "tcp dport 22 drop", closed } --! rule "text on" goes on after its verdict "drop": nothing behind a verdict is ever reached, so put it last
input { "brace", "tcp dport { 22", accept } --! rule "brace": nft text "tcp dport { 22" must be one statement on one line: no line break, semicolon or comment, and braces and quotes in pairs
input { "set", "ip saddr @admns", accept } --! rule "set": unknown set "@admns" (did you mean "admins"?)
input { "twice", tcp = 1, accept }
input { "twice", tcp = 2, accept } --! rule "twice" stands twice in chain "input", first at policy.lua:6: a rule's name is its identity in metrics and counters
input { "say \"hi\"", tcp = 3, accept } --! rule name "say \"hi\"" holds '"', which a kernel comment cannot
---
input { "not limit", not_limit = "10/s", drop } --! rule "not limit": limit cannot be negated: write over
input { "not over", not_over = "10/s", accept } --! rule "not over": over cannot be negated: write limit
