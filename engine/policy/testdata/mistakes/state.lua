fw.remember("x", 1, "1h") --! fw.remember works in handlers only: while the policy is read, nothing is in force yet
---
fw.recal("x") --! unknown name fw.recal (did you mean "recall"?)
---
fw.fact.resolve() --! fw.fact.resolve("www.example.org") is expected, not nothing
---
fw.fact.resolve("nowhere.example.org") --! fw.fact.resolve: lookup nowhere.example.org: no such host
---
fw.fact.resolve("192.0.2.1") --! fw.fact.resolve: 192.0.2.1 is an address already
---
fw.fact.resolve("no name") --! fw.fact.resolve: "no name" is no name of a host
---
fw.fact.resolve("../policy") --! fw.fact.resolve: "../policy" is no name of a host
---
fw.fact.resolv("x") --! unknown name fw.fact.resolv (did you mean "resolve"?)
---
fw.metric.guage("x", "X.") --! unknown name fw.metric.guage (did you mean "gauge"?)
---
fw.metric "x" --! fw.metric is a module, not a function: its functions are fw.metric.counter, fw.metric.gauge, fw.metric.histogram
---
fw.metric.counter("knocks") --! fw.metric.counter("name", "help", { "label" }) is expected, not nothing
---
fw.metric.counter("Knocks", "Knocks.") --! counter name "Knocks" has other characters than a-z, 0-9 and _
fw.metric.gauge("2nd", "Second.") --! gauge name "2nd" does not start with a letter
fw.metric.gauge("", "Nothing.") --! gauge name "" is empty
fw.metric.counter("a", "") --! counter "a": its help is empty: say in a sentence what it counts
fw.metric.gauge("a_total", "A.") --! metric "a" is declared twice, first at policy.lua:5
fw.metric.gauge("things_total", "B.") --! gauge "things_total": non-counter metrics should not have "_total" suffix
fw.metric.gauge("latency_milliseconds", "Latency.") --! gauge "latency_milliseconds": use base unit "seconds" instead of "milliseconds"
fw.metric.gauge("gauge_of", "Of.") --! gauge "gauge_of": metric name should not include type 'gauge'
fw.metric.gauge("labels", "L.", { "Port", "le", "x", "x" }) --! gauge "labels": label "Port" has other characters than a-z, 0-9 and _ --! gauge "labels": label "le" is Prometheus's own --! gauge "labels": label "x" is there twice
fw.metric.gauge("many", "M.", { "a", "b", "c", "d", "e" }) --! gauge "many": label "e" is one too many: a metric has 4 at most
fw.metric.histogram("sizes", "S.", {}, { 2, 1, "x" }) --! histogram "sizes": the buckets must rise, and 1 stands behind 2 --! histogram "sizes": a bucket is a number, not "x"
fw.metric.gauge("more", "M.", {}, {}) --! fw.metric.gauge("name", "help", { "label" }) is expected: argument 4 is one too many
---
local m = fw.metric.counter("knocks", "Knocks.")
m:add(1) --! counter "knocks".add works in handlers only: while the policy is read, nothing is in force yet
---
local m = fw.metric.counter("knocks", "Knocks.")
m:set(1) --! counter "knocks" has no method "set": it is told by its methods, add(1)
---
local m = fw.metric.counter("knocks", "Knocks.")
m(1) --! counter "knocks" cannot be called: it is told by its methods, add(1)
---
for i = 1, 33 do fw.metric.gauge("m" .. i, "M.") end --! gauge "m33": a policy has 32 metrics at most
---
fw.notify("ops", "x") --! fw.notify works in handlers only: while the policy is read, nothing is in force yet
---
fw.notfy("ops", "x") --! unknown name fw.notfy (did you mean "notify"?)
---
fw.target() --! fw.target "name" is expected, not nothing
---
fw.target "on call" --! target name "on call" must start with a letter and hold only letters, digits, _ and -
---
local ops = fw.target "ops"; ops "x" --! target "ops" cannot be called: give it to fw.notify: fw.notify(target, { title = "…", text = "…" })
---
local ops = fw.target("ops", "x") --! fw.target "name" is expected: argument 2 is one too many
