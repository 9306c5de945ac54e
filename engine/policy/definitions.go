package policy

import (
	"fmt"
	"regexp"
	"strings"
)

// Definitions is the module moonlatch for the Lua language server: a meta file that
// names every function and field of the schema, with its types.
func Definitions() string {
	d := &definitions{}
	d.WriteString(definitionsHead)
	d.objects()
	d.fields("moonlatch.event", "the event that a handler gets", plainFields(eventFields()), "")
	d.printf("---searches the payload for a regular expression (RE2): the captures of the first match, or the match, or nil\n---@param pattern string\n---@return string|nil ...\nfunction event:match(pattern) end\n\n")
	d.fields("moonlatch.hit", "what a detector's action gets", plainFields(hitFields()), "")
	d.fields("moonlatch.metric", "a metric that the policy declares", nil, "")
	for _, m := range metricMethods() {
		d.function("metric:", m.Entry)
	}
	for _, s := range Reference() {
		if what, ok := tables()[s.Title]; ok {
			d.options(s, what)
		}
	}
	d.module("moonlatch", "fw", moduleMembers())
	d.WriteString("return fw\n")
	return d.String()
}

const definitionsHead = `---@meta moonlatch

-- The module moonlatch, for the Lua language server. Generated from the schema that policies are checked with.

`

// tables are the sections that describe a table, and what is configured by it.
func tables() map[string]string {
	return map[string]string{
		"chain": "a chain", "rule": "a rule", "ct": "a connection", "time": "a time", "synproxy": "fw.synproxy", "set": "a set", "helper": "a helper",
		"flowtable": "a flowtable", "stream": "a stream", "detect": "a detector", "on": "a handler's filter", "watchdog": "the watchdog", "geo": "fw.geo", "feed": "a feed",
		"brake": "the brake", "aggregate": "the aggregation of bans",
	}
}

// definitions collects the text of a meta file.
type definitions struct{ strings.Builder }

func (d *definitions) printf(format string, args ...any) { fmt.Fprintf(d, format, args...) }

// doc writes what a name means.
func (d *definitions) doc(e Entry) {
	d.printf("---%s\n", oneLine(e.Doc))
	if e.Takes != "" {
		d.printf("---\n---Takes: %s\n", oneLine(e.Takes))
	}
	if e.Example != "" {
		d.printf("---\n---Example: `%s`\n", oneLine(e.Example))
	}
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }

// objects writes the classes of what the module's functions return.
func (d *definitions) objects() {
	for _, o := range [][3]string{
		{"verdict", "an item of a rule that ends it", ""},
		{"reject", "the verdict reject, which can be called to say how", "fun(how: string): moonlatch.verdict"},
		{"item", "an item of a rule", ""},
		{"chain", "a chain: the first call may configure it, further ones append a rule each", "fun(table: moonlatch.chain.options|moonlatch.rule.options): moonlatch.chain"},
		{"set", "a set: a call with a table fills it", "fun(content: moonlatch.set.options): moonlatch.set"},
		{"map", "a map: a call with a table fills it", "fun(content: table): moonlatch.map"},
		{"quota", "a quota: a call says how much", "fun(amount: string): moonlatch.quota"},
		{"helper", "a connection tracking helper: an item", "fun(options: moonlatch.helper.options): moonlatch.helper"},
		{"flowtable", "a flowtable", "fun(options: moonlatch.flowtable.options): moonlatch.flowtable"},
		{"target", "a target of notifications", ""},
		{"stream", "a stream: an item that logs to it", "fun(options: moonlatch.stream.options): moonlatch.stream"},
		{"declared", "what waits for its table", "fun(options: table)"},
	} {
		d.printf("---%s\n---@class moonlatch.%s\n", o[1], o[0])
		if o[2] != "" {
			d.printf("---@overload %s\n", o[2])
		}
		d.printf("local %s = {}\n\n", o[0])
	}
}

// plainField is a field of a class.
type plainField struct {
	Entry
	not bool // it has a negation
}

func plainFields[T interface{ entry() Entry }](list []T) []plainField {
	var out []plainField
	for _, f := range list {
		out = append(out, plainField{Entry: f.entry()})
	}
	return out
}

// fields writes a class with fields. Those of a table that is passed in are optional.
func (d *definitions) fields(class, doc string, list []plainField, optional string) {
	d.printf("---%s\n---@class %s\n", doc, class)
	for _, f := range list {
		kind := typeOf(class, f.Entry)
		d.printf("---@field %s%s %s %s. Takes: %s\n", f.Name, optional, kind, oneLine(f.Doc), oneLine(f.Takes))
		if f.not {
			d.printf("---@field not_%s%s %s the opposite of %s\n", f.Name, optional, kind, f.Name)
		}
	}
	if optional != "" {
		d.printf("---@field [integer] any\n")
	}
	d.printf("local %s = {}\n\n", class[strings.LastIndexByte(class, '.')+1:])
}

// options writes the class of a table that configures something.
func (d *definitions) options(s Section, what string) {
	list := plainFields(s.Entries)
	negated := map[string]bool{}
	for section, fields := range map[string][]ruleField{"rule": ruleFields(), "ct": connFields(), "time": timeFields()} {
		for _, f := range fields {
			negated[section+"."+f.Name] = f.negate
		}
	}
	for i := range list {
		list[i].not = negated[s.Title+"."+list[i].Name]
	}
	d.fields("moonlatch."+s.Title+".options", "the table of "+what, list, "?")
}

// module writes a module, and those in it.
func (d *definitions) module(class, path string, members []member) {
	d.printf("---@class %s\n", class)
	if !strings.Contains(path, ".") {
		d.printf("local ")
	}
	d.printf("%s = {}\n\n", path)
	for _, m := range members {
		inner, isModule := submodules()[m.Name]
		switch {
		case isModule && path == "fw":
			d.doc(m.Entry)
			d.module(class+"."+m.Name, path+"."+m.Name, inner)
		case m.value != nil:
			d.doc(m.Entry)
			d.printf("---@type %s\n%s.%s = nil\n\n", typeOf(class, m.Entry), path, m.Name)
		default:
			d.function(path+".", m.Entry)
		}
	}
}

// submodules are the modules that are members of the module.
func submodules() map[string][]member {
	return map[string][]member{"log": logMembers(), "fact": factMembers(), "probe": probeMembers(), "metric": metricMembers()}
}

// function writes a function, whose path ends in a dot or a colon.
func (d *definitions) function(path string, e Entry) {
	d.doc(e)
	params, returns, _ := strings.Cut(signature(strings.TrimSuffix(strings.TrimSuffix(path, "."), ":"), e.Name), " -> ")
	var names []string
	for p := range strings.SplitSeq(params, ", ") {
		if p == "" {
			continue
		}
		name, kind, _ := strings.Cut(p, " ")
		d.printf("---@param %s %s\n", name, kind)
		names = append(names, strings.TrimSuffix(name, "?"))
	}
	for r := range strings.SplitSeq(returns, ", ") {
		if r != "" {
			d.printf("---@return %s\n", r)
		}
	}
	d.printf("function %s%s(%s) end\n\n", path, e.Name, strings.Join(names, ", "))
}

// signature is a function's parameters, "name type, …", and, behind " -> ", what it returns.
func signature(path, name string) string {
	if s, ok := signatures()[path+"."+name]; ok {
		return s
	}
	switch path {
	case "fw.log":
		return "message string|number"
	case "fw.probe":
		return "target string, timeout? string -> boolean, string|nil"
	}
	return "... any -> any"
}

func signatures() map[string]string {
	const declared = "name string -> moonlatch."
	const told = "amount number, labels? table<string,string|number> -> boolean, string|nil"
	const metric = "name string, help string, labels? string[]"
	const answer = " -> boolean, string|nil"
	return map[string]string{
		"fw.chain": declared + "chain", "fw.set": declared + "set", "fw.feed": "name string -> fun(options: moonlatch.feed.options): moonlatch.set", "fw.map": declared + "map", "fw.counter": declared + "item",
		"fw.quota": declared + "quota", "fw.helper": declared + "helper", "fw.flowtable": declared + "flowtable", "fw.stream": declared + "stream",
		"fw.detect": declared + "declared",
		"fw.nft":    "text string",
		"fw.on":     "stream moonlatch.stream, filter moonlatch.on.options|fun(ev: moonlatch.event), handler? fun(ev: moonlatch.event)",
		"fw.every":  "time string, run fun()", "fw.after": "time string, run fun()",
		"fw.protect": "addresses string|moonlatch.set|table", "fw.watchdog": "options moonlatch.watchdog.options", "fw.geo": "options moonlatch.geo.options",
		"fw.brake": "options moonlatch.brake.options", "fw.aggregate": "options moonlatch.aggregate.options",
		"fw.jump": "chain moonlatch.chain -> moonlatch.verdict", "fw.goto_": "chain moonlatch.chain -> moonlatch.verdict",
		"fw.trap": "time string -> moonlatch.item", "fw.syslog": "prefix string -> moonlatch.item",
		"fw.ban": "target string, time string|string[], why? string|table, options? table" + answer, "fw.unban": "target string" + answer,
		"fw.banned": "address string -> boolean", "fw.bans": " -> number", "fw.lines": "file string -> string[]",
		"fw.remember": "name string, value string|number|boolean|nil, time? string" + answer, "fw.recall": "name string -> string|number|boolean|nil",
		"fw.target": declared + "target", "fw.notify": "target string|moonlatch.target, notice string|table<string,string|number|boolean>" + answer,
		"fw.mark": "value number|string|moonlatch.map -> moonlatch.item", "fw.ctmark": "value number|string|moonlatch.map -> moonlatch.item",
		"fw.dscp": "value number|string -> moonlatch.item", "fw.notrack": " -> moonlatch.item", "fw.mss": "size number|string -> moonlatch.item",
		"fw.queue": "queues number|string, flags? string -> moonlatch.item", "fw.dup": "interface string -> moonlatch.item",
		"fw.tproxy":     "address string|number, port? number -> moonlatch.item",
		"fw.snat":       "to string|string[]|moonlatch.map, ports? number|string, flags? string -> moonlatch.item",
		"fw.dnat":       "to string|string[]|moonlatch.map, ports? number|string, flags? string -> moonlatch.item",
		"fw.masquerade": "ports? number|string, flags? string -> moonlatch.item", "fw.redirect": "ports? number|string, flags? string -> moonlatch.item",
		"fw.vmap": "chains table -> moonlatch.item", "fw.add": "set moonlatch.set, by string, time? string -> moonlatch.item",
		"fw.flow": "flowtable moonlatch.flowtable -> moonlatch.item", "fw.synproxy": "options moonlatch.synproxy.options -> moonlatch.item",
		"fw.fact.interfaces": " -> string[]", "fw.fact.addresses": " -> string[]", "fw.fact.resolve": "name string -> string[]",
		"fw.metric.counter": metric + " -> moonlatch.metric", "fw.metric.gauge": metric + " -> moonlatch.metric",
		"fw.metric.histogram": metric + ", buckets? number[] -> moonlatch.metric",
		"metric.add":          told, "metric.set": told, "metric.observe": told,
	}
}

// A list of words in quotes, and nothing else, is what a field can be.
var choice = regexp.MustCompile(`^"[^"]*"(,? or |, )("[^"]*"(,? or |, )?)*$`)

// typeOf is the type of a field, as far as the words about it tell.
func typeOf(class string, e Entry) string {
	takes := e.Takes
	switch {
	case strings.HasPrefix(e.Doc, "a verdict: "):
		if e.Name == "reject" {
			return "moonlatch.reject"
		}
		return "moonlatch.verdict"
	case e.Name == "hostname":
		return "string"
	case choice.MatchString(takes):
		return strings.NewReplacer(", ", "|", " or ", "|", ",", "").Replace(takes)
	case takes == "function(hit)":
		return "fun(hit: moonlatch.hit)"
	case strings.HasPrefix(takes, "function"):
		return "fun(): any"
	}
	known := map[string]string{
		"time": "string", "text": "string", "name": "string", "prefix": "string", "number": "number", "whole number": "number", "number of bytes": "number",
		"true": "boolean", "true or false": "boolean", "list of numbers": "number[]", "list of text": "string[]", "time or list of times": "string|string[]",
		"name of a file in the policy's folder": "string", "stream or list of streams": "moonlatch.stream|moonlatch.stream[]",
	}
	if t, ok := known[takes]; ok {
		return optionalType(class, t)
	}
	return "any"
}

// optionalType adds that what an event or a hit does not tell is nil.
func optionalType(class, t string) string {
	if class == "moonlatch.event" || class == "moonlatch.hit" {
		return t + "|nil"
	}
	return t
}
