package policy

import (
	"fmt"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// ruleReader reads the fields of one rule, or of a handler's filter.
type ruleReader struct {
	*loader
	t        table
	what     string   // the table, for errors
	accepted []string // other names that the table may hold
	fields   []ruleset.Field
	failed   bool // a mistake has been reported
}

// rule reads one rule and appends it to the chain. Mistakes are collected; a
// rule with mistakes is left out.
func (l *loader) rule(c *ruleset.Chain, t table) {
	before := l.count
	name, ok := l.ruleName(c, t)
	if !ok {
		return
	}
	what := "rule " + quoted(name)
	r := &ruleReader{loader: l, t: t}
	r.readFields(what, l.fields)
	items := l.items(what, t)
	if l.count > before {
		return
	}
	c.Rules = append(c.Rules, &ruleset.Rule{Name: name, Fields: r.fields, Items: items, Pos: t.pos})
}

// ruleName reads the rule's name, its first item.
func (l *loader) ruleName(c *ruleset.Chain, t table) (string, bool) {
	first := t.item(1)
	name, ok := first.LValue.(lua.LString)
	example := c.Name + ` { "NAME", `
	switch {
	case !ok && first.LValue == lua.LNil:
		l.report(t.pos, "a rule starts with its name: %s… }", example)
	case !ok:
		l.report(first.pos, "a rule starts with its name, and the first item here is %s: write %s… }", describe(first.LValue), example)
	case looksLikeNft(string(name), t.length() == 1):
		l.report(first.pos, "a rule starts with its name, and %q looks like nft text: write %s%q }", string(name), example, string(name))
		return "", false
	}
	return string(name), ok
}

// looksLikeNft reports whether a rule's name is most likely nft text whose
// author forgot the name. Alone says that nothing else is in the rule.
func looksLikeNft(name string, alone bool) bool {
	words := strings.Fields(name)
	if len(words) == 0 {
		return false
	}
	verdicts := []string{"accept", "drop", "reject", "return", "continue", "queue", "masquerade"}
	if alone && slices.Contains(verdicts, words[len(words)-1]) {
		return true
	}
	if len(words) < 2 || !slices.Contains(selectors(words[0]), words[1]) {
		return false
	}
	return len(words) > 2 || strings.Contains(words[0], "if") // "tcp flags" may well be a name
}

// selectors lists the words that follow a word at the start of an nft rule.
func selectors(word string) []string {
	switch word {
	case "tcp", "udp", "sctp", "dccp", "udplite", "th":
		return []string{"dport", "sport", "flags", "option", "sequence"}
	case "ip", "ip6":
		return []string{"saddr", "daddr", "protocol", "nexthdr", "ttl", "hoplimit", "dscp", "length"}
	case "icmp", "icmpv6":
		return []string{"type", "code"}
	case "ct":
		return []string{"state", "mark", "status", "direction", "count", "zone"}
	case "meta":
		return []string{"l4proto", "nfproto", "mark", "iif", "oif", "iifname", "oifname", "skuid", "pkttype", "length"}
	case "iif", "oif", "iifname", "oifname":
		return []string{"lo", "eth0", "!=", "{", `"lo"`, `"eth0"`}
	case "ether":
		return []string{"saddr", "daddr", "type"}
	case "limit":
		return []string{"rate"}
	}
	return nil
}

// readFields reads the named fields of the table, in the order of known.
func (r *ruleReader) readFields(what string, known []ruleField) {
	r.what = what
	set, missing := r.t.names()
	wanted := map[string]bool{}
	for _, name := range set {
		wanted[name] = true
		if !slices.Contains(r.accepted, name) {
			r.known(what, name, known)
		}
	}
	for _, f := range known {
		for _, not := range []bool{false, true} {
			name := f.Name
			if not {
				name = "not_" + name
			}
			if !wanted[name] || not && !f.negate {
				continue
			}
			v := r.t.field(name)
			field, err := f.read(r, v, not)
			if quoted := r.quotedSet(v); err != nil && quoted != "" {
				err = fmt.Errorf("%s is a set: write %s = %s, without quotes", describe(v.LValue), name, quoted)
			}
			r.mistake(v.pos, what+": "+name+": ", err)
			if field != nil && err == nil {
				r.fields = append(r.fields, field)
			}
		}
	}
	for _, name := range missing {
		r.report(r.t.field(name).pos, "%s: %s is nil: a misspelt name? (without it the rule would match more)", what, name)
	}
	for _, k := range r.t.strays() {
		r.report(r.t.pos, "%s: a field cannot be named by %s", what, describe(k))
	}
}

// quotedSet is the name of a set that stands in quotes, perhaps as nft has it; "" for anything else.
func (r *ruleReader) quotedSet(v value) string {
	s, ok := v.LValue.(lua.LString)
	name := strings.TrimPrefix(string(s), "@")
	if ok && slices.ContainsFunc(r.set.Sets, func(set *ruleset.Set) bool { return set.Name == name }) {
		return name
	}
	return ""
}

func (r *ruleReader) mistake(pos ruleset.Pos, prefix string, err error) {
	if err != nil {
		r.failed = true
		r.reportAll(pos, prefix, err)
	}
}

// known reports a field that does not exist, or not yet, or not negated.
func (r *ruleReader) known(what, name string, known []ruleField) {
	pos := r.t.field(name).pos
	plain, not := strings.CutPrefix(name, "not_")
	f := lookup(known, plain)
	switch {
	case f == nil && lookup(r.loader.fields, plain) != nil:
		r.report(pos, "%s: a logged packet does not tell its %s, so a filter cannot ask for it", what, plain)
	case f == nil:
		suggestions := append(names(known), r.accepted...)
		if not {
			suggestions = negated(known)
		}
		hint := fieldHint(name)
		if hint == "" {
			hint = ruleset.Suggest(name, suggestions)
		}
		r.report(pos, "unknown field %q in %s%s", name, what, hint)
	case not && !f.negate:
		other := map[string]string{"limit": "over", "over": "limit", "connlimit": `connlimit = "over …"`, "quota": `quota = "over …"`}[plain]
		r.report(pos, "%s: %s cannot be negated: write %s", what, plain, other)
	}
}

func negated(known []ruleField) []string {
	var out []string
	for _, f := range known {
		if f.negate {
			out = append(out, "not_"+f.Name)
		}
	}
	return out
}

// items reads what follows the rule's name.
func (l *loader) items(what string, t table) []ruleset.Item {
	var out []ruleset.Item
	for i := 2; i <= t.length(); i++ {
		v := t.item(i)
		switch x := v.LValue.(type) {
		case lua.LString:
			l.reportAll(v.pos, what+": ", checkText(string(x)))
			out = append(out, ruleset.Text(x))
			continue
		case *lua.LNilType:
			l.report(v.pos, "%s: item %d is nil: a misspelt name?", what, i)
			return nil // a far key, as in [80] = accept, leaves a long gap
		}
		if it, ok := unwrap[item](v.LValue); ok {
			out = append(out, it.item())
			continue
		}
		l.report(v.pos, "%s: item %d is %s%s", what, i, describe(v.LValue), itemHint(v.LValue))
	}
	return out
}

// itemHint says what to write instead of something that is no item.
func itemHint(v lua.LValue) string {
	switch v := v.(type) {
	case lua.LNumber:
		return ": a port is written tcp = " + v.String()
	case *lua.LTable:
		return ": fields are written name = value"
	case *lua.LFunction:
		return `: call it, as in fw.trap "24h" or fw.jump(chain)`
	case *lua.LUserData:
		switch o := v.Value.(type) {
		case *chainObject:
			return ": write fw.jump(" + o.local() + ") or fw.goto_(" + o.local() + ")"
		case *setObject:
			return ": write src = " + o.set.Name + " or dst = " + o.set.Name
		}
	}
	return ", which is no verdict, stream or nft text"
}
