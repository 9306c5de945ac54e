package policy

import (
	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// The functions of the schema_*.go files are the only place that lists the
// names of the policy language. What validates, suggests and documents reads them.

// Entry describes one name of the policy language.
type Entry struct {
	Name    string
	Takes   string // its value or its arguments, in words
	Doc     string // one line
	Example string // one line of Lua
}

// Section is one part of the language.
type Section struct {
	Title   string
	Entries []Entry
}

// Reference lists the whole policy language.
func Reference() []Section {
	return []Section{
		section("moonlatch", moduleMembers()),
		section("moonlatch.log", logMembers()),
		section("moonlatch.fact", factMembers()),
		section("moonlatch.metric", metricMembers()),
		section("metric", metricMethods()),
		section("chain", chainOptions()),
		section("rule", ruleFields()),
		section("ct", connFields()),
		section("time", timeFields()),
		section("synproxy", synproxyFields()),
		section("set", setOptions()),
		section("feed", feedOptions()),
		section("geo", geoOptions()),
		section("helper", helperOptions()),
		section("flowtable", flowtableOptions()),
		section("stream", streamOptions()),
		section("detect", detectOptions()),
		section("on", filterOptions()),
		section("brake", brakeOptions()),
		section("aggregate", aggregateOptions()),
		section("watchdog", watchdogOptions()),
		section("moonlatch.probe", probeMembers()),
		section("event", eventFields()),
		section("hit", hitFields()),
	}
}

func section[T interface{ entry() Entry }](title string, list []T) Section {
	s := Section{Title: title}
	for _, e := range list {
		s.Entries = append(s.Entries, e.entry())
	}
	return s
}

func (e Entry) entry() Entry { return e }

// names lists the names, for suggestions.
func names[T interface{ entry() Entry }](list []T) []string {
	var out []string
	for _, e := range list {
		out = append(out, e.entry().Name)
	}
	return out
}

// lookup finds a name, or nil.
func lookup[T interface{ entry() Entry }](list []T, name string) *T {
	for i := range list {
		if list[i].entry().Name == name {
			return &list[i]
		}
	}
	return nil
}

// member is a name of a module. Exactly one of its functions is set.
type member struct {
	Entry
	value   func(p *Policy) lua.LValue
	declare func(l *loader, L *lua.LState) int // while the policy is read
	handle  func(p *Policy, L *lua.LState) int // in handlers
	reads   bool                               // handle changes nothing
	always  func(p *Policy, L *lua.LState) int
}

// option is a field of a table that configures a T.
type option[T any] struct {
	Entry
	set func(l *loader, target T, v value) error
}

// ruleField is a field of a rule, or of a filter where filter is set.
type ruleField struct {
	Entry
	negate bool // can be written not_NAME
	filter bool // a logged packet tells it
	read   func(r *ruleReader, v value, not bool) (ruleset.Field, error)
}
